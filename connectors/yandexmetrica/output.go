package yandexmetrica

import (
	"errors"
	"fmt"
	"io"

	"github.com/svod-hub/svod/model"
)

const (
	// A row beyond this is no order, no call and no contact.
	maxRowBytes = 256 << 10
	flushBytes  = 64 << 10
)

// output collects encoded rows in one buffer that is reused, and hands them on
// in large pieces.
type output struct {
	as     string
	w      io.Writer
	buf    []byte
	failed error
}

func newOutput(as string, w io.Writer) output {
	return output{as: as, w: w, buf: make([]byte, 0, flushBytes+flushBytes/4)}
}

// keep takes the row behind mark, or drops it when it is too large.
func (o *output) keep(mark int) error {
	if len(o.buf)-mark > maxRowBytes {
		o.buf = o.buf[:mark]
		return model.Errorf(model.ClassPermanent, model.CauseTooLarge, "the row has more than %d bytes; shorten its texts", maxRowBytes)
	}
	if len(o.buf) >= flushBytes {
		return o.flush()
	}
	return nil
}

func (o *output) flush() error {
	if _, err := o.w.Write(o.buf); err != nil {
		return o.fail(fmt.Errorf("write %s: %w", o.as, err))
	}
	o.buf = o.buf[:0]
	return nil
}

func (o *output) fail(err error) error {
	o.failed = err
	return err
}

// finish writes what is left. A second time it does nothing.
func (o *output) finish() error {
	err := o.flush()
	if err == nil {
		o.failed = errClosed
	}
	return err
}

// ended reports whether the writer is closed already, and with what.
func (o *output) ended() (bool, error) {
	if o.failed == nil {
		return false, nil
	}
	if errors.Is(o.failed, errClosed) {
		return true, nil
	}
	return true, o.failed
}

var errClosed = errors.New("the encoding is finished")
