package roistat

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/shopspring/decimal"
	"pgregory.net/rapid"

	"github.com/svod-hub/svod/connectors"
	"github.com/svod-hub/svod/connectors/connectortest"
	"github.com/svod-hub/svod/model"
)

var update = flag.Bool("update", false, "write the golden files")

const blankToken = "d41d8cd98f00b204e9800998ecf8427e"

// ask is a request with blank credentials.
func ask(query string) connectors.PullRequest {
	values, _ := connectors.ParseQuery(query, 1000)
	if !values.Has("token") {
		values.Set("user", "")
		values.Set("token", blankToken)
	}
	return connectors.PullRequest{Method: http.MethodGet, Query: values, ReceivedAt: now}
}

func reference(kind model.Kind, connection, id string, change func(*model.Reference)) *model.Reference {
	r := &model.Reference{Base: model.Base{Kind: kind, Connection: connection, ID: id}, Of: model.KindDeal}
	change(r)
	return r
}

// shop is one amoCRM-like source with everything that an order may carry.
func shop() *fakeDesk {
	d := newDesk("amo")
	for _, pipeline := range []string{"1", "2"} {
		d.put(
			reference(model.KindPipeline, "amo", pipeline, func(r *model.Reference) { r.Name = "Воронка " + pipeline }),
			reference(model.KindStatus, "amo", pipeline+":10", func(r *model.Reference) { r.Name, r.PipelineID, r.StatusID, r.Sort = "Новая", pipeline, "10", 1 }),
			reference(model.KindStatus, "amo", pipeline+":142", func(r *model.Reference) {
				r.Name, r.PipelineID, r.StatusID, r.Sort = "Успешно реализовано", pipeline, "142", 2
			}),
		)
	}
	d.put(
		reference(model.KindField, "amo", "640163", func(r *model.Reference) { r.Code, r.Name = "640163", "Город" }),
		reference(model.KindField, "amo", "640165", func(r *model.Reference) {
			r.Code, r.Name, r.Choices = "640165", "Доставка", map[string]string{"1": "Курьер", "2": "Самовывоз"}
		}),
		reference(model.KindField, "amo", "7", func(r *model.Reference) { r.Code, r.Name, r.Of = "7", "Поле контакта", model.KindContact }),
		reference(model.KindEmployee, "amo", "8083396", func(r *model.Reference) {
			r.Name, r.Phones, r.Emails = "Пётр", []string{"79990000001"}, []string{"p@example.ru"}
		}),
		&model.Company{Base: model.Base{Kind: model.KindCompany, Connection: "amo", ID: "50"}, Name: "ООО «Ромашка»"},
		&model.Contact{
			Base: model.Base{Kind: model.KindContact, Connection: "amo", ID: "5", Links: model.Links{CompanyID: "50"}},
			Name: "Иван", Phones: []string{"79990001122", "79990001133"}, Emails: []string{"i@example.ru"}, BirthDate: "1990-11-05",
		},
		&model.Contact{Base: model.Base{Kind: model.KindContact, Connection: "amo", ID: "6", Deleted: true}},
	)
	rich := &model.Deal{
		Base: model.Base{
			Kind: model.KindDeal, Connection: "amo", ID: "17", CreatedAt: now.Add(-48 * time.Hour), UpdatedAt: now.Add(-time.Hour),
			Links:  model.Links{ContactID: "5", EmployeeID: "8083396"},
			Fields: model.Fields{"640163": "Омск", "640165": []string{"1", "2"}, "999": "чужое"},
		},
		Title: "Заказ <17> & \"ко\"", Amount: model.NewDecimal(decimal.RequireFromString("1999.90")), Cost: model.NewDecimal(decimal.RequireFromString("1000")),
		PipelineID: "1", StatusID: "142",
		Products: []model.Product{{ID: "X1", Name: "Чашка", Quantity: model.NewDecimal(decimal.New(2, 0)), Price: model.NewDecimal(decimal.New(99995, -2))}},
	}
	rich.Roistat, rich.UTM = "12852", model.UTM{Source: "yandex", Campaign: "весна|1"}
	poor := &model.Deal{Base: model.Base{Kind: model.KindDeal, Connection: "amo", ID: "18", UpdatedAt: now.Add(-time.Hour), Links: model.Links{ContactID: "6"}}}
	poor.Roistat = "{visit}"
	odd := &model.Deal{Base: model.Base{Kind: model.KindDeal, Connection: "amo", ID: "19", CreatedAt: now.Add(-time.Hour)}, PipelineID: "3", StatusID: "77"}
	d.put(rich, poor, odd)
	return d
}

func TestAnswersToTheRecordedRequests(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		query  string
		accept string
	}{
		"import_scheme":      {query: "action=import_scheme"},
		"export":             {query: "action=export&date=1646747823&offset=0&limit=1000"},
		"export-edit-date":   {query: "action=export&editDate=1646747823"},
		"export-no-date":     {query: "action=export&limit=2"},
		"export-nothing":     {query: "action=export&date=1649635199"},
		"export-clients":     {query: "action=export_clients&date=1646747823"},
		"without-action":     {query: "date=1646747823"},
		"unknown-action":     {query: "action=drop"},
		"bad-date":           {query: "action=export&date=2022-03-08"},
		"milliseconds":       {query: "action=export&date=1646747823000"},
		"wrong-token":        {query: "action=export&token=0&user="},
		"scheme-xml":         {query: "action=import_scheme&format=xml"},
		"export-xml":         {query: "action=export&date=1646747823", accept: "application/xml, application/json;q=0.5"},
		"error-xml":          {query: "action=drop", accept: "text/xml"},
		"lead":               {query: "action=lead&title=%D0%A2%D0%B5%D1%81%D1%82&name=%D0%98&phone=79980000000&email=test@test.ru&data={\"640163\":\"test\"}&created_date=2022-04-08 12:00:00&visit=seo_yandex&manager_id=8083396"},
		"message":            {query: "action=message&leadId=h1&title=A&message=B"},
		"task":               {query: "action=task&element_id=17&deadline=2019-01-01T11:11:11&text=C"},
		"call":               {query: "action=call&id=313&callee=12125097518&caller=12125096995&date=2019-02-19T00:00:00&visit=1&status=ANSWER&duration=61"},
		"call-without-an-id": {query: "action=call&caller=79990001122&date=2019-02-19T00:00:00"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d := shop()
			r := ask(c.query)
			r.Accept = c.accept
			a := newConnector(t, "{}", d).Pull(t.Context(), r, d)
			got := strconv.Itoa(a.Status) + " " + a.ContentType + "\n" + string(a.Body) + "\n"
			path := filepath.Join("testdata", "answers", name+".txt")
			if *update {
				if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			if got != string(want) {
				t.Errorf("got\n%s\nwant\n%s", got, want)
			}
		})
	}
}

func TestTokensOfTheProtocol(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ user, password, token string }{ // roistat §2.2
		{"", "", blankToken},
		{"1", "1", "6512bd43d9caa6e02c990b0a82652dca"},
		{"hubuser", "S3cret", "2b7c2e3559c2ae357511858bacea9b3f"},
		{"Иван", "Пароль1", "7aa04b85306492d6f6a59c651ed404c5"},
	} {
		con := newConnector(t, `{user: "`+c.user+`", password: "`+c.password+`"}`, newDesk())
		basic := func(user, password string) connectors.PullRequest {
			return connectors.PullRequest{Basic: true, BasicUser: user, BasicPassword: password}
		}
		for name, try := range map[string]struct {
			p    params
			r    connectors.PullRequest
			want bool
		}{
			"the token":                {params{"user": c.user, "token": c.token}, connectors.PullRequest{}, true},
			"upper case":               {params{"user": c.user, "token": strings.ToUpper(c.token)}, connectors.PullRequest{}, strings.ToUpper(c.token) == c.token},
			"another user":             {params{"user": c.user + "x", "token": c.token}, connectors.PullRequest{}, false},
			"an empty token":           {params{"user": c.user, "token": ""}, connectors.PullRequest{}, false},
			"no token":                 {params{"user": c.user}, connectors.PullRequest{}, false},
			"basic":                    {params{}, basic(c.user, c.password), true},
			"basic, wrong":             {params{}, basic(c.user, c.password+"x"), false},
			"both right":               {params{"user": c.user, "token": c.token}, basic(c.user, c.password), true},
			"right token, wrong basic": {params{"user": c.user, "token": c.token}, basic("x", "x"), false},
			"wrong token, right basic": {params{"user": c.user, "token": "x"}, basic(c.user, c.password), false},
		} {
			if got := con.admits(try.p, try.r); got != try.want {
				t.Errorf("%s of %q: admitted %v", name, c.user, got)
			}
		}
	}
}

func TestParametersComeFromEverywhere(t *testing.T) {
	t.Parallel()
	form := connectors.PullRequest{
		Query: url.Values{"action": {"export"}, "own": {"1"}}, Form: url.Values{"action": {"lead"}, "title": {"из формы"}},
		ContentType: "application/x-www-form-urlencoded",
	}
	json := connectors.PullRequest{
		Query: url.Values{"action": {"export"}}, Body: []byte(`{"title":"из JSON","id":90,"data":{"a":1},"visit":null}`), ContentType: "application/json",
	}
	if p, err := readParams(form); err != nil || p["action"] != "export" || p["title"] != "из формы" {
		t.Errorf("form: %v, %v", p, err)
	}
	if p, err := readParams(json); err != nil || p["id"] != "90" || p["title"] != "из JSON" || p["data"] != `{"a":1}` || p["visit"] != "" {
		t.Errorf("JSON: %v, %v", p, err)
	}
	if _, err := readParams(connectors.PullRequest{Body: []byte("{"), ContentType: "application/json"}); err == nil {
		t.Error("broken JSON is taken")
	}
}

func TestMistakesInSettingsAreNamed(t *testing.T) {
	t.Parallel()
	_, err := New(connectortest.YAML(`{drop_guard: 30, max_age: soon, window: -1h, page_size: 100000, ids: short, status_ids: x}`), connectors.Deps{})
	for _, want := range []string{"drop_guard: 30 is not a share", `max_age: "soon"`, `window: "-1h"`, "page_size: 100000", `ids: "short" is not one of auto, raw, prefixed`, `status_ids: "x"`} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v does not say %s", err, want)
		}
	}
}

func TestAStoreThatIsDownMakesRoistatComeBack(t *testing.T) {
	t.Parallel()
	for _, action := range []string{"import_scheme", "export", "export_clients", "lead", "message", "task", "call", ""} {
		d := shop()
		d.down = errors.New("disk full at /var/lib")
		a := newConnector(t, "{}", d).Pull(t.Context(), ask("action="+action), d)
		if a.Status != http.StatusServiceUnavailable || a.RetryAfter == 0 || strings.Contains(string(a.Body), "disk") {
			t.Errorf("%s: %d %s", action, a.Status, a.Body)
		}
	}
}

func TestALeadThatWasPromisedAndLostIsKeptOnRepetition(t *testing.T) {
	t.Parallel()
	d := shop()
	c := newConnector(t, "{}", d)
	first := c.Pull(t.Context(), ask("action=lead&id=90&title=a"), d)
	delete(d.records, model.Key{Connection: "roistat", Kind: model.KindLead, ID: "h1"}) // we died between the two
	second := c.Pull(t.Context(), ask("action=lead&id=90&title=a"), d)
	if string(first.Body) != string(second.Body) || d.records[model.Key{Connection: "roistat", Kind: model.KindLead, ID: "h1"}] == nil {
		t.Errorf("%s, then %s", first.Body, second.Body)
	}
}

func TestTheEndOfACallAddsToItsBeginning(t *testing.T) {
	t.Parallel()
	d := shop()
	c := newConnector(t, "{}", d)
	for _, query := range []string{
		"action=call&id=313&callee=74951234567&caller=79990001122&date=2022-04-10T11:00:00&visit=1&marker=fb_new",
		"action=call&id=313&status=NOANSWER&duration=17&file_url=http://r.example/1?a=1",
	} {
		if a := c.Pull(t.Context(), ask(query), d); string(a.Body) != `{"status":"ok","call_id":"313"}` {
			t.Errorf("got %s", a.Body)
		}
	}
	got := d.records[model.Key{Connection: "roistat", Kind: model.KindCall, ID: "313"}].(*model.Call)
	if got.Phone != "79990001122" || !got.Missed || got.WaitDuration != 17 || got.TalkDuration != 0 || got.Roistat != "1" ||
		got.RecordURLs[0] != "http://r.example/1?a=1" || !got.StartedAt.Equal(now.Add(-time.Hour)) {
		t.Errorf("got %+v", got)
	}
}

func TestOddDataOfLeads(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		data string
		want string
	}{
		"empty":        {"", "null"},
		"empty list":   {"[]", "null"},
		"empty object": {"{}", "null"},
		"null":         {"null", "null"},
		"no JSON":      {"page=http://x", `{"data":"page=http://x"}`},
		"a list":       {`["a"]`, `{"data":"[\"a\"]"}`},
		"values":       {`{"640163":"test","n":15,"b":true,"none":null,"list":["a",1],"deep":{"x":1}}`, `{"640163":"test","b":"true","deep":"{\"x\":1}","list":["a","1"],"n":"15"}`},
		"placeholders": {`{"a":"{landingPage}","b":"{metrikaClientld}","c":"{x} y"}`, `{"c":"{x} y"}`},
		"unresolved":   {"{data}", "null"},
	} {
		got, err := json.Marshal(params{"data": c.data}.data())
		if err != nil || string(got) != c.want {
			t.Errorf("%s: %s, %v", name, got, err)
		}
	}
}

func TestStatusesThatRepeatInPipelinesAreTold(t *testing.T) {
	t.Parallel()
	status := func(id, pipeline, status string) *model.Reference {
		return &model.Reference{Base: model.Base{ID: id}, PipelineID: pipeline, StatusID: status}
	}
	for name, c := range map[string]struct {
		list []*model.Reference
		want bool
	}{
		"none":                      {nil, false},
		"no pipelines":              {[]*model.Reference{status("new", "", "new")}, false},
		"unique by themselves":      {[]*model.Reference{status("NEW", "0", "NEW"), status("C1:NEW", "1", "C1:NEW")}, false},
		"the same in two pipelines": {[]*model.Reference{status("a", "1", "142"), status("b", "2", "142")}, true},
		"named by the pipeline":     {[]*model.Reference{status("1:142", "1", "142")}, true},
	} {
		if got := repeats(c.list); got != c.want {
			t.Errorf("%s: %v", name, got)
		}
	}
}

func TestWhoWantsXML(t *testing.T) {
	t.Parallel()
	for accept, want := range map[string]bool{
		"": false, "*/*": false, "application/json": false, "application/xml": true, "text/xml, */*;q=0.1": true,
		"application/json, application/xml": false, "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8": false, ";;,": false,
	} {
		if got := wantsXML(params{}, accept); got != want {
			t.Errorf("%q: %v", accept, got)
		}
	}
}

func TestEntriesComeBackAsTheyWere(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		text := rapid.String()
		var entries []entry
		for range rapid.IntRange(0, 50).Draw(t, "n") {
			entries = append(entries, entry{
				key:      model.Key{Connection: text.Draw(t, "connection"), Kind: model.Kind(text.Draw(t, "kind")), ID: text.Draw(t, "id")},
				promised: text.Draw(t, "promised"),
			})
		}
		chunks, _ := encodeEntries(entries)
		var back []entry
		for _, chunk := range chunks {
			part, err := decodeEntries(chunk)
			if err != nil {
				t.Fatal(err)
			}
			back = append(back, part...)
		}
		if len(back) != len(entries) {
			t.Fatalf("%d of %d", len(back), len(entries))
		}
		for i := range back {
			if back[i] != entries[i] {
				t.Fatalf("entry %d: %v, %v", i, back[i], entries[i])
			}
		}
	})
}

// FuzzPull: whatever comes, the answer is pure JSON (or XML when asked) with a
// status that fits.
func FuzzPull(f *testing.F) {
	for _, query := range []string{
		"action=lead&data={\"a\":[1]}&created_date=x", "action=call&duration=-1&date=0000-00-00", "action=export&offset=99&limit=0",
		"action=task&deadline=%zz", "action=export_clients&date=0", "format=xml",
	} {
		f.Add(query, []byte(`{"id":1}`), "application/json")
		f.Add(query, []byte("\xff"), "")
	}
	f.Fuzz(func(t *testing.T, query string, body []byte, contentType string) {
		d := shop()
		r := ask(query)
		r.Body, r.ContentType = body, contentType
		a := newConnector(t, "{}", d).Pull(t.Context(), r, d)
		if strings.HasPrefix(a.ContentType, "application/json") && !json.Valid(a.Body) {
			t.Errorf("no JSON: %q", a.Body)
		}
		if a.Status != 200 && a.Cause == "" {
			t.Errorf("refused with %d and without a cause", a.Status)
		}
	})
}

func FuzzDecodeEntries(f *testing.F) {
	chunks, _ := encodeEntries([]entry{{key: model.Key{Connection: "b24", Kind: model.KindDeal, ID: "1"}, promised: "h1"}})
	f.Add(chunks[0])
	f.Fuzz(func(_ *testing.T, data []byte) { _, _ = decodeEntries(data) })
}

// BenchmarkPage reads pages from the middle of a list of a million orders.
func BenchmarkPage(b *testing.B) {
	d := newDesk("b24")
	c := newConnector(b, "{}", d)
	entries := make([]entry, 1_000_000)
	for i := range entries {
		key := model.Key{Connection: "b24", Kind: model.KindDeal, ID: strconv.Itoa(i)}
		entries[i] = entry{key: key}
		d.records[key] = &model.Deal{Base: model.Base{Kind: key.Kind, Connection: "b24", ID: key.ID, CreatedAt: now}, StatusID: "NEW"}
	}
	one := &call{Connector: c, params: params{"offset": "0"}, desk: d, now: now}
	list := list{name: "export:0", make: func(context.Context) ([]entry, error) { return entries, nil }}
	if _, err := one.page(b.Context(), list); err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for n := 0; b.Loop(); n++ {
		one.params = params{"offset": strconv.Itoa(n % 1000 * 1000)}
		p, err := one.page(b.Context(), list)
		if err != nil || len(p.entries) != 1000 {
			b.Fatal(len(p.entries), err)
		}
		if _, err := one.ordersOf(b.Context(), p.entries); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkList lays down a list of a million orders.
func BenchmarkList(b *testing.B) {
	entries := make([]entry, 1_000_000)
	for i := range entries {
		entries[i] = entry{key: model.Key{Connection: "b24", Kind: model.KindDeal, ID: strconv.Itoa(i)}}
	}
	b.ReportAllocs()
	for b.Loop() {
		encodeEntries(entries)
	}
}
