package main

import (
	_ "embed"
	"fmt"
	"net"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/alicebob/miniredis/v2"

	"github.com/svod-hub/svod/connectors"
	amocrm "github.com/svod-hub/svod/connectors/amocrm/sandbox"
	metrica "github.com/svod-hub/svod/connectors/yandexmetrica/sandbox"
)

// surroundings are the systems around the hub, in this process.
type surroundings struct {
	account *amocrm.Account
	counter *metrica.Sandbox
	sink    *sink // before the counter
	leads   []int64
	closes  []func()
}

// surround opens an amoCRM account with leads and a counter, and connects them
// in the configuration. The counter takes uploads without a pause and judges
// them at once, so that the hub's own pace shows.
func surround(c *config, leads int) (*surroundings, error) {
	s := &surroundings{}
	opts := connectors.SandboxOptions{Now: time.Now, Seed: 20, Options: map[string]string{"rate": "1000"}}
	var err error
	if s.account, err = amocrm.New(opts); err != nil {
		return nil, err
	}
	s.closes = append(s.closes, func() { _ = s.account.Close() })
	opts.Options = map[string]string{"time_zone": "Europe/Moscow"}
	if s.counter, err = metrica.New(opts); err != nil {
		return nil, err
	}
	contact := s.account.Add(amocrm.Contacts, amocrm.Entity{Name: "Клиент",
		Fields: map[int64][]string{amocrm.ContactPhone: {"+79160000000"}, amocrm.ContactEmail: {"client@example.ru"}}})
	for i := range leads {
		s.leads = append(s.leads, s.account.Add(amocrm.Leads, amocrm.Entity{
			Name: "Заявка " + strconv.Itoa(i), Price: strconv.Itoa(100 + i), ContactIDs: []int64{contact}}))
	}
	account, err := s.serve(s.account)
	if err != nil {
		return nil, err
	}
	s.sink = &sink{to: s.counter, taken: make(chan swallowed, 1)}
	counter, err := s.serve(s.sink)
	if err != nil {
		return nil, err
	}
	c.connect("amo", "amocrm", s.account.Settings(account), map[string]any{"poll": "0"})
	c.connect("metrica", "yandex-metrica", s.counter.Settings(counter))
	c.flow("orders", "amo", "deal", "orders", map[string]any{"mode": "SAVE", "map": orderMap, "statuses": statuses})
	return s, nil
}

var (
	orderMap = map[string]string{
		"id": "deal.id", "client_uniq_id": "contact.id", "create_date_time": "deal.created_at", "update_date_time": "deal.updated_at",
		"finish_date_time": "deal.closed_at", "revenue": "deal.amount", "currency": "deal.currency", "order_status": "status",
	}
	statuses = []map[string]string{
		{"crm": strconv.Itoa(amocrm.StatusNew), "id": "new", "metrica": "IN_PROGRESS"},
		{"crm": strconv.Itoa(amocrm.StatusWork), "id": "work", "metrica": "IN_PROGRESS"},
		{"crm": strconv.Itoa(amocrm.StatusWon), "id": "won", "metrica": "PAID"},
		{"crm": strconv.Itoa(amocrm.StatusLost), "id": "lost", "metrica": "CANCELLED"},
	}
)

func (s *surroundings) serve(handler http.Handler) (string, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	server := &http.Server{Handler: handler, ReadHeaderTimeout: 10 * time.Second}
	go func() { _ = server.Serve(l) }()
	s.closes = append(s.closes, func() { _ = server.Close() })
	return "http://" + l.Addr().String(), nil
}

func (s *surroundings) close() {
	for i := len(s.closes) - 1; i >= 0; i-- {
		s.closes[i]()
	}
}

// outsideRedis serves a Redis in this process, for a hub whose roles are split.
func outsideRedis() (address string, stop func(), err error) {
	server, err := miniredis.Run()
	if err != nil {
		return "", nil, err
	}
	return "redis://" + server.Addr() + "/0", server.Close, nil
}

//go:embed testdata/lead.form
var leadForm string

// webhooks gives bodies of about 750 bytes that name the leads in turn.
func webhooks(leads []int64) func(n int) []byte {
	bodies := make([][]byte, len(leads))
	for i, id := range leads {
		text := strings.NewReplacer("32427762", strconv.Itoa(amocrm.AccountID), "32966269", fmt.Sprint(id)).Replace(strings.TrimSpace(leadForm))
		bodies[i] = []byte(text)
	}
	return func(n int) []byte { return bodies[n%len(bodies)] }
}
