package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"strconv"
	"sync"
	"time"
)

// load is a bounded number of webhooks over kept connections. It is written on
// bare sockets: what the sender costs makes every ratio kinder.
type load struct {
	server      *process
	path        string
	body        func(n int) []byte // of the n-th webhook; its length may differ
	connections int
	perSecond   int // 0: as fast as the answers come
	lasting     time.Duration
	most        int // bounds the count; 0: the time alone does
}

// loaded is what a load found.
type loaded struct {
	answered int
	others   map[int]int // answers with another status than 200
	took     time.Duration
	cpu      time.Duration   // of the server
	waits    []time.Duration // sorted
}

func (l loaded) perSecond() float64 { return float64(l.answered) / l.took.Seconds() }

// each is what one webhook cost the server, in microseconds of a processor. It
// depends less than the rate on what else the machine does.
func (l loaded) each() float64 {
	return float64(l.cpu) / float64(time.Microsecond) / float64(max(l.answered, 1))
}

func (l loaded) quantile(q float64) time.Duration {
	if len(l.waits) == 0 {
		return 0
	}
	return l.waits[min(int(q*float64(len(l.waits))), len(l.waits)-1)]
}

// wrong says what went wrong, or nil.
func (l loaded) wrong() error {
	if len(l.others) > 0 {
		return fmt.Errorf("answered with other than 200: %v", l.others)
	}
	return nil
}

// run sends the load. A paced load counts its waits from the moment at which the
// webhook was due, so that a server that stands still does not look fast.
func (l load) run(ctx context.Context) (loaded, error) {
	ctx, cancel := context.WithTimeout(ctx, l.lasting)
	defer cancel()
	var (
		mu    sync.Mutex
		group sync.WaitGroup
		errs  []error
		total = loaded{others: map[int]int{}}
		start = time.Now()
		spent = l.server.usage().cpu
	)
	for i := range l.connections {
		group.Go(func() {
			s := sender{load: l, number: i, start: start, others: map[int]int{}}
			err := s.run(ctx)
			mu.Lock()
			defer mu.Unlock()
			total.waits = append(total.waits, s.waits...)
			for status, n := range s.others {
				total.others[status] += n
			}
			if err != nil {
				errs = append(errs, err)
			}
		})
	}
	group.Wait()
	total.took, total.cpu = time.Since(start), l.server.usage().cpu-spent
	total.answered = len(total.waits)
	slices.Sort(total.waits)
	return total, errors.Join(errs...)
}

// sender is one connection of a load.
type sender struct {
	load
	number int
	start  time.Time
	waits  []time.Duration
	others map[int]int
	out    []byte
}

func (s *sender) run(ctx context.Context) error {
	conn, err := net.Dial("tcp", s.server.address)
	if err != nil {
		return err
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(s.lasting + 15*time.Second)); err != nil {
		return err
	}
	in := bufio.NewReaderSize(conn, 2<<10)
	s.waits = make([]time.Duration, 0, 4096)
	for n := s.number; ctx.Err() == nil && (s.most == 0 || n < s.most); n += s.connections {
		due := time.Now()
		if s.perSecond > 0 {
			due = s.start.Add(time.Duration(n) * time.Second / time.Duration(s.perSecond))
			if wait := time.Until(due); wait > 0 {
				select {
				case <-time.After(wait):
				case <-ctx.Done():
					return nil
				}
			}
		}
		status, err := s.exchange(conn, in, s.body(n))
		if err != nil {
			return fmt.Errorf("webhook %d: %w", n, err)
		}
		if status != 200 {
			s.others[status]++
			continue
		}
		s.waits = append(s.waits, time.Since(due))
	}
	return nil
}

func (s *sender) exchange(conn net.Conn, in *bufio.Reader, body []byte) (int, error) {
	s.out = append(s.out[:0], "POST "...)
	s.out = append(s.out, s.path...)
	s.out = append(s.out, " HTTP/1.1\r\nHost: "...)
	s.out = append(s.out, s.server.address...)
	s.out = append(s.out, "\r\nUser-Agent: amoCRM-Webhooks/3.0\r\nAccept: */*\r\nContent-Type: application/x-www-form-urlencoded\r\nContent-Length: "...)
	s.out = strconv.AppendInt(s.out, int64(len(body)), 10)
	s.out = append(s.out, "\r\n\r\n"...)
	s.out = append(s.out, body...)
	if _, err := conn.Write(s.out); err != nil {
		return 0, err
	}
	return readAnswer(in)
}

var lengthHeader = []byte("Content-Length:")

// readAnswer reads an answer and drops its body.
func readAnswer(in *bufio.Reader) (int, error) {
	status, length := 0, 0
	for first := true; ; first = false {
		text, err := in.ReadSlice('\n')
		if err != nil {
			return 0, err
		}
		text = bytes.TrimRight(text, "\r\n")
		switch {
		case first:
			if len(text) < 12 {
				return 0, errors.New("the answer is not HTTP")
			}
			if status, err = strconv.Atoi(string(text[9:12])); err != nil {
				return 0, errors.New("the answer is not HTTP")
			}
		case len(text) == 0:
			_, err := io.CopyN(io.Discard, in, int64(length))
			return status, err
		case len(text) > len(lengthHeader) && bytes.EqualFold(text[:len(lengthHeader)], lengthHeader):
			if length, err = strconv.Atoi(string(bytes.TrimSpace(text[len(lengthHeader):]))); err != nil {
				return 0, errors.New("the answer's length is not a number")
			}
		}
	}
}
