package jobs

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"os"
)

// spool holds an encoded upload: in memory while it is small, then in a file
// without a name, so that memory does not grow with the upload and nothing is
// left behind by a killed process.
type spool struct {
	dir    string
	size   int64
	memory bytes.Buffer
	file   *os.File
	buffer *bufio.Writer
}

// spoolMemory is how much an upload may take in memory.
const spoolMemory = 2 << 20

func newSpool(dir string) *spool { return &spool{dir: dir} }

// Write implements io.Writer.
func (s *spool) Write(p []byte) (int, error) {
	if s.file == nil && s.memory.Len()+len(p) > spoolMemory {
		if err := s.spill(); err != nil {
			return 0, err
		}
	}
	var n int
	var err error
	if s.file == nil {
		n, err = s.memory.Write(p)
	} else {
		n, err = s.buffer.Write(p)
	}
	s.size += int64(n)
	return n, err
}

func (s *spool) spill() error {
	file, err := os.CreateTemp(s.dir, "upload-*")
	if err != nil {
		return fmt.Errorf("open a file for an upload: %w", err)
	}
	_ = os.Remove(file.Name()) // it lives as long as it is open
	s.file, s.buffer = file, bufio.NewWriterSize(file, 1<<18)
	if _, err := s.buffer.Write(s.memory.Bytes()); err != nil {
		return err
	}
	s.memory = bytes.Buffer{}
	return nil
}

// Flush makes what was written readable.
func (s *spool) Flush() error {
	if s.buffer == nil {
		return nil
	}
	if err := s.buffer.Flush(); err != nil {
		return fmt.Errorf("write an upload to disk: %w", err)
	}
	return nil
}

// Size is the number of bytes written.
func (s *spool) Size() int64 { return s.size }

// ReadAt implements io.ReaderAt; call Flush first.
func (s *spool) ReadAt(p []byte, off int64) (int, error) {
	if s.file != nil {
		return s.file.ReadAt(p, off)
	}
	return bytes.NewReader(s.memory.Bytes()).ReadAt(p, off)
}

// Close frees what the spool holds.
func (s *spool) Close() error {
	if s.file != nil {
		return s.file.Close()
	}
	return nil
}

var _ io.ReaderAt = (*spool)(nil)
