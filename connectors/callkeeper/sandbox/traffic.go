package sandbox

import (
	"context"
	"fmt"
	"strconv"
	"time"
)

// Load describes sample traffic.
type Load struct {
	// History are calls that were made before anybody listened: they have no hooks.
	History   int
	Callbacks int
	Calls     int // to substituted numbers
	// Changes come after the calls: tags set by hand, recordings that are ready.
	Changes int
	// PerSecond bounds all but the history; 0 makes them as fast as possible.
	PerSecond float64
}

// DemoLoad is a small shop's day.
var DemoLoad = Load{History: 40, Callbacks: 20, Calls: 40, Changes: 30, PerSecond: 20}

// Traffic plays a load and waits until its hooks are sent.
func (s *Service) Traffic(ctx context.Context, l Load) error {
	for i := range l.History {
		s.past(i)
	}
	pace := pacer(l.PerSecond)
	defer pace.stop()
	steps := []struct {
		n    int
		step func()
	}{
		{l.Callbacks, func() { s.Add(s.sample(Callback)) }},
		{l.Calls, func() { s.Add(s.sample(Tracking)) }},
		{l.Changes, s.sampleChange},
	}
	for _, st := range steps {
		for range st.n {
			if err := pace.wait(ctx); err != nil {
				return err
			}
			st.step()
		}
	}
	return s.Flush(ctx)
}

// past makes a call some hours ago, without hooks.
func (s *Service) past(i int) {
	c := s.sample([]string{Tracking, Callback, Tracking, Imported}[i%4])
	c.Started = s.now().Add(-time.Duration(i+1) * 5 * time.Hour)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.begin(c)
}

type ticker struct{ t *time.Ticker }

func pacer(perSecond float64) ticker {
	if perSecond <= 0 {
		return ticker{}
	}
	return ticker{t: time.NewTicker(time.Duration(float64(time.Second) / perSecond))}
}

func (t ticker) wait(ctx context.Context) error {
	if t.t == nil {
		return ctx.Err()
	}
	select {
	case <-t.t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (t ticker) stop() {
	if t.t != nil {
		t.t.Stop()
	}
}

var (
	campaigns = []string{"brand", "remont", "okna", "retarget"}
	cities    = []string{"Москва", "Казань", "Тула", "Орёл"}
	tools     = []string{"widget", "mobile", "form", "api"}
	marks     = []string{"целевой", "спам", "ошиблись номером", "перезвонить"}
	failures  = [][2]int{{200, 486}, {200, 0}, {480, 0}, {200, 199}}
)

// draw gives a number below n from the service's own source of chance.
func (s *Service) draw(n int) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.rand.IntN(n)
}

// sample makes up a call that was just over: its beginning lies back by its
// duration and the ringing.
func (s *Service) sample(service string) Call {
	n := s.draw(1 << 30)
	c := Call{
		Service: service, Client: fmt.Sprintf("7900%07d", n%10_000_000), Manager: "74950000001", Number: fmt.Sprintf("7495000%04d", 10+n%20),
		Duration: n % 300, Unique: n%3 != 0, Target: n%2 == 0,
		Source: "yandex", Medium: "cpc", Campaign: campaigns[n%len(campaigns)], City: cities[n/5%len(cities)],
		Page: "https://shop.example.ru/catalog?yclid=" + strconv.Itoa(1_000_000+n), Tool: tools[n/3%len(tools)],
	}
	if n%5 != 0 { // a static number, or a visitor whom Metrica does not know
		c.ClientID = fmt.Sprintf("17%017d", n)
		c.GAClientID = fmt.Sprintf("%d.%d", 100_000_000+n%900_000_000, 1_700_000_000+n%1_000_000)
		c.Roistat = strconv.Itoa(100_000 + n%900_000)
	}
	if n%6 == 0 {
		f := failures[n/6%len(failures)]
		c.First, c.Second, c.Duration = f[0], f[1], 0
	}
	c.Started = s.now().Add(-time.Duration(c.Duration+ringing+1) * time.Second).Truncate(time.Second)
	return c
}

func (s *Service) sampleChange() {
	s.mu.Lock()
	if len(s.calls) == 0 {
		s.mu.Unlock()
		return
	}
	id := s.calls[s.rand.IntN(len(s.calls))].universal
	s.mu.Unlock()
	if n := s.draw(1 << 20); n%3 == 0 {
		s.Attach(id, "https://ckct.example.ru/record/"+id+".mp3")
	} else {
		s.Tag(id, marks[n%len(marks)])
	}
}
