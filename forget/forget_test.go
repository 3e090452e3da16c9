package forget_test

import (
	"net/url"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/svod-hub/svod/forget"
	"github.com/svod-hub/svod/identity"
	"github.com/svod-hub/svod/model"
	"github.com/svod-hub/svod/store"
)

func person(t testing.TB, phone, email string) *forget.Person {
	t.Helper()
	var phones, emails []string
	if phone != "" {
		phones = []string{phone}
	}
	if email != "" {
		emails = []string{email}
	}
	p, err := forget.NewPerson(phones, emails, "RU")
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func TestPersonIn(t *testing.T) {
	t.Parallel()
	for _, x := range []struct {
		name, text string
		want       bool
	}{
		{"digits", `{"phones":["79995551111"]}`, true},
		{"as people write it", "тел. +7 (999) 555-11-11.", true},
		{"with 8", "8-999-555-11-11", true},
		{"without a code", "(999)5551111", true},
		{"from abroad", "0079995551111", true},
		{"with spaces that do not break", "+7\u00a0999\u00a0555\u201111\u201111", true},
		{"in a form", "phone=%2B7%20%28999%29%20555-11-11&x=1", true},
		{"in a form with plus signs", "phone=8+999+555+11+11", true},
		{"in JSON's escapes", `{"phone":"\u002b7\u0020999\u00a0555\u20111111"}`, true},
		{"in JSON in a form", "data=" + url.QueryEscape(`{"phone":"\u002b7 (999) 555-11-11"}`), true},
		{"the phone's MD5", `{"phones_md5":"` + strings.ToUpper(identity.MD5("79995551111")) + `"}`, true},
		{"the e-mail's MD5", identity.MD5("anna@example.ru"), true},
		{"another number", "79995551112", false},
		{"a part of a longer number", "1679995551111234567", false},
		{"the end of a longer number", "179995551111", false},
		{"groups of a longer number", "79995551111222", false},
		{"far apart", "999, 555 and 1111", false},
		{"over two members", `{"a":"7999","b":"5551111"}`, false},
		{"e-mail", `"Anna <anna@example.ru>"`, true},
		{"e-mail in capitals", "ANNA@Example.RU", true},
		{"e-mail in a form", "email=anna%40example.ru", true},
		{"e-mail in twice encoded", "email=anna%2540example.ru", true},
		{"e-mail at the end of a sentence", "Пишите на anna@example.ru.", true},
		{"a longer e-mail", "joanna@example.ru", false},
		{"a longer domain", "anna@example.ru.com", false},
		{"then the right one", "joanna@example.ru, anna@example.ru", true},
		{"nothing", "", false},
		{"broken escapes", `%4 %zz \u00 \`, false},
	} {
		t.Run(x.name, func(t *testing.T) {
			t.Parallel()
			if got := person(t, "+7 999 555-11-11", "Anna@example.ru").In([]byte(x.text)); got != x.want {
				t.Errorf("%q: %v", x.text, got)
			}
		})
	}
}

func TestOtherCountries(t *testing.T) {
	t.Parallel()
	p := person(t, "+49 30 901820 00", "")
	for text, want := range map[string]bool{"+49 (30) 901820-00": true, "030 90182000": true, "0049 30 90182000": true, "90182000": false} {
		if got := p.In([]byte(text)); got != want {
			t.Errorf("%q: %v", text, got)
		}
	}
}

func TestNewPerson(t *testing.T) {
	t.Parallel()
	for _, x := range [][2][]string{{}, {{"123"}}, {nil, {"anna"}}} {
		if _, err := forget.NewPerson(x[0], x[1], "RU"); err == nil || strings.Contains(err.Error(), "123") || strings.Contains(err.Error(), "anna") {
			t.Errorf("%v: %v", x, err)
		}
	}
}

func FuzzPersonIn(f *testing.F) {
	for _, text := range []string{"", "%", `\`, `\u`, "%2B7 999", "79995551111", "anna@example.ru", "+7\xff999", `\ud800\udc00`} {
		f.Add([]byte(text))
	}
	p := person(f, "+7 999 555-11-11", "anna@example.ru")
	f.Fuzz(func(t *testing.T, data []byte) {
		found := p.In(data)
		// What was found stays found among other texts.
		if found && !p.In(append([]byte(`{"a":"`), append(data, `"}`...)...)) {
			t.Errorf("%q is lost in JSON", data)
		}
	})
}

func TestForget(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	db, err := store.Open(ctx, "sqlite:"+filepath.Join(t.TempDir(), "svod.db"), store.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	check(t, db.Migrate(ctx))
	fill(t, db)
	r := forget.Request{Project: "shop", Person: person(t, "8 (999) 555-11-11", "anna@example.ru"), DryRun: true, User: "operator"}

	dry, err := forget.Forget(ctx, db, r)
	check(t, err)
	if dry.Records[model.KindContact] != 1 || dry.Records[model.KindCall] != 1 || dry.Versions != 1 || dry.Entries != 2 || dry.Uploads != 1 || dry.Waiting != 1 || dry.Linked != 1 {
		t.Errorf("dry run: %+v", dry)
	}
	if text := everything(t, db); !strings.Contains(text, "anna@example.ru") {
		t.Error("a dry run forgot")
	}

	r.DryRun, r.Related = false, true
	done, err := forget.Forget(ctx, db, r)
	check(t, err)
	if done.Records[model.KindContact] != 1 || done.Records[model.KindDeal] != 1 || done.Entries != 2 || done.Linked != 0 {
		t.Errorf("forgotten: %+v", done)
	}
	text := everything(t, db)
	for _, left := range []string{"anna@example.ru", "999555111", "555-11", "Анна"} {
		if strings.Contains(strings.ReplaceAll(text, "a waiting entry: 79995551111", ""), left) {
			t.Errorf("%q is left in:\n%s", left, text)
		}
	}
	if !strings.Contains(text, "Пётр") {
		t.Error("somebody else was forgotten")
	}
	log, err := db.AuditLog(ctx, 10)
	check(t, err)
	if len(log) != 1 || log[0].Action != "forget" || log[0].User != "operator" || log[0].Subject != "a person: 3 records, 2 journal entries" {
		t.Errorf("audit log: %+v", log)
	}

	again, err := forget.Forget(ctx, db, r)
	check(t, err)
	if len(again.Records)+again.Entries+again.Uploads+again.Versions != 0 || again.Waiting != 1 {
		t.Errorf("again: %+v", again)
	}
}

func check(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func fill(t *testing.T, db *store.DB) {
	t.Helper()
	ctx, now := t.Context(), time.Now().Add(-time.Minute)
	base := func(kind model.Kind, id string, minute int) model.Base {
		return model.Base{Kind: kind, Connection: "b24", ID: id, UpdatedAt: now.Add(time.Duration(minute) * time.Second), ReadAt: now.Add(time.Duration(minute) * time.Second)}
	}
	apply := func(records ...model.Record) {
		t.Helper()
		_, err := db.ApplyRecords(ctx, "shop", records)
		check(t, err)
	}
	apply(
		&model.Contact{Base: base(model.KindContact, "1", 0), Name: "Анна", Emails: []string{"anna@example.ru"}},
		&model.Contact{Base: base(model.KindContact, "2", 0), Name: "Пётр", Phones: []string{"79995552222"}},
		&model.Call{Base: base(model.KindCall, "3", 0), Phone: "79995551111"},
		&model.Deal{Base: model.Base{Kind: model.KindDeal, Connection: "b24", ID: "4", ReadAt: now, Links: model.Links{ContactID: "1"}}, Title: "Анна купила"},
	)
	apply(&model.Contact{Base: base(model.KindContact, "1", 1), Name: "Анна", Phones: []string{"79995551111"}})
	check(t, db.AppendJournal(ctx, []*store.Entry{
		{Project: "shop", Connection: "b24", ReceivedAt: now, State: store.EntryDone, Body: []byte(`{"phone":"+7 (999) 555-11-11"}`)},
		{Project: "shop", Connection: "b24", ReceivedAt: now, State: store.EntryRefused, Query: "email=anna%40example.ru"},
		{Project: "shop", Connection: "b24", ReceivedAt: now, State: store.EntryDone, Body: []byte("Пётр")},
		{Project: "shop", Connection: "b24", ReceivedAt: now, State: store.EntryNew, Body: []byte("a waiting entry: 79995551111")},
		{Project: "bakery", Connection: "b24", ReceivedAt: now, State: store.EntryDone, Body: []byte("79995551111")},
	}))
	check(t, db.CreateUpload(ctx, &store.Upload{Project: "shop", Flow: "clients", Details: []byte(`{"bad":["anna@example.ru"]}`)}))
}

// everything is all that the project holds, as text.
func everything(t *testing.T, db *store.DB) string {
	t.Helper()
	var out strings.Builder
	write := func(parts ...string) { out.WriteString(strings.Join(parts, " ") + "\n") }
	ctx := t.Context()
	check(t, db.ScanRecords(ctx, "shop", func(_ model.Key, data []byte) { write(string(data)) }))
	check(t, db.ScanVersions(ctx, "shop", func(_ int64, data []byte) { write(string(data)) }))
	check(t, db.ScanJournal(ctx, "shop", func(e store.Entry) { write(string(e.Body), e.Query, e.Error, e.Note) }))
	check(t, db.ScanUploads(ctx, "shop", func(u store.Upload) { write(string(u.Details), u.Error) }))
	return out.String()
}
