package jobs_test

import (
	"bytes"
	"context"
	"encoding/csv"
	"fmt"
	"io"
	"mime/multipart"
	"net/http"
	"net/http/httptest"
	"os"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/shopspring/decimal"

	"github.com/svod-hub/svod/connectors"
	"github.com/svod-hub/svod/flow"
	"github.com/svod-hub/svod/jobs"
	"github.com/svod-hub/svod/model"
)

// shopOrders are orders with the client in them, as for Metrica's simple orders.
var shopOrders = model.Schema{As: "simple_orders", Key: "id", StatusTypes: []string{"IN_PROGRESS", "PAID"}, Parameters: []model.Parameter{
	{Name: "id", Type: model.TypeID, Required: true}, {Name: "create_date_time", Type: model.TypeTime, Required: true},
	{Name: "client_ids", Type: model.TypeClientIDs}, {Name: "emails", Type: model.TypeEmails}, {Name: "phones", Type: model.TypePhones},
	{Name: "revenue", Type: model.TypeDecimal}, {Name: "currency", Type: model.TypeCurrency}, {Name: "order_status", Type: model.TypeStatus, Required: true},
}, Defaults: map[model.Kind]map[string]string{model.KindDeal: {"id": "deal.id", "create_date_time": "deal.created_at", "client_ids": "deal.client_id",
	"emails": "deal.emails", "phones": "deal.phones", "revenue": "deal.amount", "currency": "deal.currency", "order_status": "status"}}}

// socket is a destination that takes CSV files by multipart POST.
type socket struct {
	url  string
	rows int
	// Encode is called for the first row of an upload, Send when all of it is
	// encoded: what lies between them is building and sending.
	begun time.Duration // processor time at Encode
	built time.Duration // processor time from Encode to the end of Send, all uploads
	took  time.Duration // the same by the clock
	clock time.Time
}

func (*socket) Check(context.Context) (string, error) { return "", nil }

func (*socket) Plan(string) connectors.UploadPlan {
	return connectors.UploadPlan{MaxRows: 300_000, MaxBytes: 900 << 20}
}

func (*socket) Group(connectors.Upload, *model.Row) string { return "" }

type csvRows struct {
	*csv.Writer
	record []string
}

func (c *csvRows) Write(row *model.Row) error {
	c.record = c.record[:0]
	for _, value := range row.Values {
		switch v := value.(type) {
		case nil:
			c.record = append(c.record, "")
		case string:
			c.record = append(c.record, v)
		case []string:
			c.record = append(c.record, strings.Join(v, ","))
		case time.Time:
			c.record = append(c.record, v.Format("2006-01-02 15:04:05"))
		case model.Decimal:
			c.record = append(c.record, v.String())
		default:
			c.record = append(c.record, fmt.Sprint(v))
		}
	}
	return c.Writer.Write(c.record)
}

func (c *csvRows) Close() error {
	c.Flush()
	return c.Error()
}

func (s *socket) Encode(_ context.Context, _ connectors.Upload, w io.Writer) (connectors.RowWriter, error) {
	s.begun, s.clock = processorTime(), time.Now()
	return &csvRows{Writer: csv.NewWriter(w)}, nil
}

func (s *socket) Send(ctx context.Context, u connectors.Upload, body connectors.Body) (connectors.Outcome, error) {
	var head bytes.Buffer
	form := multipart.NewWriter(&head)
	if _, err := form.CreateFormFile("file", "orders.csv"); err != nil {
		return connectors.Outcome{}, err
	}
	end := strings.NewReader("\r\n--" + form.Boundary() + "--\r\n")
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, s.url, io.MultiReader(&head, io.NewSectionReader(body, 0, body.Size()), end))
	if err != nil {
		return connectors.Outcome{}, err
	}
	req.Header.Set("Content-Type", form.FormDataContentType())
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return connectors.Outcome{}, err
	}
	res.Body.Close()
	s.rows += u.Rows
	s.built += processorTime() - s.begun
	s.took += time.Since(s.clock)
	return connectors.Outcome{State: connectors.UploadAccepted, Accepted: u.Rows}, nil
}

func processorTime() time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

func shopDeals(b *bundle, from, n int) []model.Record {
	records := make([]model.Record, n)
	for i := range records {
		id := from + i
		d := b.deal(strconv.Itoa(id), strconv.Itoa(id/2), "NEW", int64(id))
		d.Connection, d.CreatedAt, d.Currency, d.Title = "b24", b.now(), "RUB", "Заказ с сайта"
		d.ClientID = fmt.Sprintf("16%017d", id)
		d.Phones, d.Emails = []string{fmt.Sprintf("7900%07d", id)}, []string{fmt.Sprintf("client%d@example.ru", id)}
		d.Amount = model.NewDecimal(decimal.New(int64(id), -2))
		d.Fields = model.Fields{"UF_CRM_1": "value", "UF_CRM_2": []string{"a", "b"}, "SOURCE_ID": "WEB"}
		records[i] = d
	}
	return records
}

// BenchmarkDeliver takes changed orders from the feed to a socket. "rows/s" is
// the whole run: fan-out, evaluation, encoding, sending and the notes in the
// database. "build-rows/s" is the part from an upload's first row to its last byte
// at the socket: reading, evaluating, encoding, noting, sending. Both are given by the clock,
// and by processor time as if two processors had nothing else to do ("…-2cpu").
// SVOD_BENCH_ROWS sets the number of orders.
func BenchmarkDeliver(b *testing.B) {
	n := 100_000
	if text := os.Getenv("SVOD_BENCH_ROWS"); text != "" {
		var err error
		if n, err = strconv.Atoi(text); err != nil {
			b.Fatal(err)
		}
	}
	server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { _, _ = io.Copy(io.Discard, r.Body) }))
	defer server.Close()
	for b.Loop() {
		b.StopTimer()
		t, to := setup(b), &socket{url: server.URL}
		t.useSocket(to)
		for from := 0; from < n; from += 1000 {
			if _, err := t.db.ApplyRecords(b.Context(), "shop", shopDeals(t, from, min(1000, n-from))); err != nil {
				b.Fatal(err)
			}
		}
		start := processorTime()
		b.StartTimer()
		for to.rows < n {
			if err := t.engine.Do(b.Context(), jobs.Work{Kind: jobs.WorkDeliver, Project: "shop", Subject: "simple"}); err != nil {
				b.Fatal(err)
			}
			t.advance(time.Second)
		}
		b.StopTimer()
		used := processorTime() - start
		b.ReportMetric(2*float64(n)/used.Seconds(), "rows/s-2cpu")
		b.ReportMetric(2*float64(n)/to.built.Seconds(), "build-rows/s-2cpu")
		b.ReportMetric(float64(n)/to.took.Seconds(), "build-rows/s")
		b.StartTimer()
	}
	b.ReportMetric(float64(n)*float64(b.N)/b.Elapsed().Seconds(), "rows/s")
}

func (b *bundle) useSocket(to *socket) {
	b.t.Helper()
	project := b.setup.Projects[0]
	destination := project.Connections[1]
	destination.Connector = to
	spec := model.FlowSpec{ID: "simple", From: []string{"b24"}, Record: model.KindDeal, To: "metrica", As: "simple_orders",
		Statuses: []model.StatusPair{{CRM: "NEW", ID: "001", Metrica: "IN_PROGRESS"}}}
	compiled, problems := flow.Compile(spec, shopOrders, flow.Project{ID: "shop", Zone: time.UTC, Currency: "RUB"})
	for _, p := range problems {
		if p.Severity == flow.SeverityError {
			b.t.Fatalf("%+v", p)
		}
	}
	project.Flows = []*jobs.Flow{{Project: project, Spec: spec, Compiled: compiled, Schema: shopOrders, To: destination}}
	b.restart()
}
