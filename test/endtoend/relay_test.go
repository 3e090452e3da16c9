package endtoend

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"slices"
	"sync"
	"testing"
)

// relay stands between the CRMs and the hub and makes the network worse than it
// is: it repeats deliveries at once and out of order, spreads them over all API
// processes, and keeps those that nobody took, as a sender that tries again
// would.
type relay struct {
	client *http.Client
	base   string

	repeating sync.WaitGroup // the sender does not wait for these

	mu       sync.Mutex
	random   *rand.Rand
	mischief bool
	targets  []string // addresses of API processes
	turn     int
	recent   []parcel // what may come again
	missed   []parcel // what got no answer
	taken    int      // answers of 200
	others   map[int]int
}

// parcel is one delivery.
type parcel struct {
	path, contentType, agent string
	body                     []byte
}

func newRelay(t *testing.T) *relay {
	t.Helper()
	r := &relay{
		client: &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 32}},
		random: rand.New(rand.NewPCG(11, 12)), others: map[int]int{},
	}
	r.base = listen(t, r)
	t.Cleanup(func() {
		r.repeating.Wait()
		r.client.CloseIdleConnections()
	})
	return r
}

// to says which API processes there are.
func (r *relay) to(listen ...string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.targets = listen
}

// ServeHTTP passes a delivery on. A hub that is away is no reason to trouble the
// sender: the relay answers in its place and delivers later.
func (r *relay) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	body, err := io.ReadAll(req.Body)
	if err != nil {
		panic(http.ErrAbortHandler)
	}
	p := parcel{req.URL.RequestURI(), req.Header.Get("Content-Type"), req.UserAgent(), body}
	status := r.deliver(req.Context(), p)
	for _, again := range r.repetitions(p) {
		r.repeating.Go(func() { r.deliver(context.WithoutCancel(req.Context()), again) })
	}
	if status == 0 || status == http.StatusServiceUnavailable {
		status = http.StatusOK
	}
	w.WriteHeader(status)
}

// repetitions are deliveries to make besides this one.
func (r *relay) repetitions(p parcel) []parcel {
	r.mu.Lock()
	defer r.mu.Unlock()
	if !r.mischief {
		return nil
	}
	var again []parcel
	if r.random.IntN(10) == 0 {
		again = append(again, p)
	}
	if len(r.recent) > 0 && r.random.IntN(10) == 0 {
		again = append(again, r.recent[r.random.IntN(len(r.recent))])
	}
	if r.recent = append(r.recent, p); len(r.recent) > 200 {
		r.recent = r.recent[1:]
	}
	return again
}

// deliver gives a parcel to the next API process; 0 is no answer.
func (r *relay) deliver(ctx context.Context, p parcel) int {
	r.mu.Lock()
	r.turn++
	target := r.targets[r.turn%len(r.targets)]
	r.mu.Unlock()
	status := 0
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://"+target+p.path, bytes.NewReader(p.body))
	if err == nil {
		req.Header.Set("Content-Type", p.contentType)
		req.Header.Set("User-Agent", p.agent)
		var resp *http.Response
		if resp, err = r.client.Do(req); err == nil {
			_, _ = io.Copy(io.Discard, resp.Body)
			_ = resp.Body.Close()
			status = resp.StatusCode
		}
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	switch status {
	case http.StatusOK:
		r.taken++
	case 0:
		r.missed = append(r.missed, p)
	case http.StatusServiceUnavailable:
		r.missed = append(r.missed, p)
		r.others[status]++
	default:
		r.others[status]++
	}
	return status
}

// redeliver brings what nobody took.
func (r *relay) redeliver(ctx context.Context) (int, error) {
	r.repeating.Wait()
	r.mu.Lock()
	missed := r.missed
	r.missed = nil
	r.mu.Unlock()
	for _, p := range missed {
		if status := r.deliver(ctx, p); status != http.StatusOK {
			return 0, fmt.Errorf("a delivery that was tried again was answered with %d", status)
		}
	}
	return len(missed), nil
}

// counts says how many deliveries were answered with 200, are still to be made,
// and were answered with something else.
func (r *relay) counts() (taken, missed int, others []string) {
	r.repeating.Wait()
	r.mu.Lock()
	defer r.mu.Unlock()
	for status, n := range r.others {
		others = append(others, fmt.Sprintf("%d times %d", n, status))
	}
	slices.Sort(others)
	return r.taken, len(r.missed), others
}
