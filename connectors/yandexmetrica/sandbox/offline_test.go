package sandbox

import (
	"bytes"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

const (
	managed = "/management/v1/counter/12345678/"
	offline = managed + "offline_conversions/"
)

// send uploads a file to the management interface.
func (c *caller) send(path, file string) (int, map[string]any) {
	c.t.Helper()
	contentType, body := multipartOf("file", "data.csv", "text/csv", file)
	return c.do("POST", path, contentType, body)
}

// take uploads a file that must be taken, and gives the upload.
func (c *caller) take(path, file string) map[string]any {
	c.t.Helper()
	status, got := c.send(path, file)
	if status != http.StatusOK {
		c.t.Fatalf("%d %v", status, got)
	}
	if list, ok := got["uploadings"].([]any); ok {
		return list[0].(map[string]any)
	}
	return got["uploading"].(map[string]any)
}

// fate reads an upload again.
func (c *caller) fate(path string, up map[string]any) map[string]any {
	c.t.Helper()
	status, got := c.do("GET", path+strconv.FormatInt(int64(up["id"].(float64)), 10), "", nil)
	if status != http.StatusOK {
		c.t.Fatalf("%d %v", status, got)
	}
	return got["uploading"].(map[string]any)
}

func withTargets(t testing.TB, options map[string]string, targets ...string) *caller {
	t.Helper()
	c := newCaller(t, options)
	if err := c.AddTargets(DefaultCounter, targets...); err != nil {
		t.Fatal(err)
	}
	return c
}

func unix(at time.Time) string { return strconv.FormatInt(at.Unix(), 10) }

// The published file goes through all statuses, driven by the clock alone.
func TestPublishedConversions(t *testing.T) {
	t.Parallel()
	c := withTargets(t, nil, "GOAL1", "GOAL2", "GOAL3")
	for _, id := range []string{"133591247640966458", "579124169844706072"} {
		c.AddVisitor(DefaultCounter, id, time.Unix(1481714000, 0))
	}
	c.clock = func() time.Time { return time.Unix(1481720000, 0) }
	up := c.take(offline+"upload?comment=abc1", sample(t, "offline_conversions.csv"))
	for i, want := range []string{"PREPARED", "UPLOADED", "EXPORTED", "MATCHED", "PROCESSED", "PROCESSED"} {
		if got := c.fate(offline+"uploading/", up); got["status"] != want {
			t.Errorf("after %d minutes: %v", i, got["status"])
		}
		c.Advance(time.Minute)
	}
	got := c.fate(offline+"uploading/", up)
	for name, want := range map[string]any{
		"source_quantity": 6.0, "line_quantity": 6.0, "user_not_found_quantity": 2.0, "goal_not_found_quantity": 0.0, "linked_quantity": 4.0,
		"comment": "abc1", "type": "BASIC", "client_id_type": "CLIENT_ID",
	} {
		if got[name] != want {
			t.Errorf("%s is %v", name, got[name])
		}
	}
	rows := c.Conversions(DefaultCounter)
	want := map[string]string{"ClientId": "133591247640966458", "Target": "GOAL1", "DateTime": "1481718166", "Price": "123.45", "Currency": "RUB"}
	if len(rows) != 6 || !maps.Equal(rows[0].Values, want) || rows[0].Times != 1 || !rows[0].Linked {
		t.Errorf("%+v", rows)
	}
	if v := c.Violations(); len(v) > 0 {
		t.Errorf("%q", v)
	}
}

// The members of answers are those of the published ones.
func TestAnswersHaveThePublishedMembers(t *testing.T) {
	t.Parallel()
	c := withTargets(t, nil, "order")
	members := func(name string) []string {
		var m map[string]map[string]any
		mustUnmarshal(t, sample(t, name), &m)
		return slices.Sorted(maps.Keys(m["uploading"]))
	}
	at := unix(start.Add(-time.Hour))
	up := c.take(offline+"upload", "ClientId,Target,DateTime\n1,order,"+at+"\n")
	if got, want := slices.Sorted(maps.Keys(up)), members("offline_upload_response_schema_example.json"); !slices.Equal(got, want) {
		t.Errorf("%v instead of %v", got, want)
	}
	header := strings.TrimRight(sample(t, "calls_header_without_staticcall.csv"), "\r\n")
	up = c.take(offline+"upload_calls", header+"\r\n1,"+at+",10.5,RUB,+70123456789,61,7,0,good,1,https://shop.example/,https://calls.example/1\r\n")
	if got, want := slices.Sorted(maps.Keys(up)), members("calls_upload_response_schema_example.json"); !slices.Equal(got, want) {
		t.Errorf("%v instead of %v", got, want)
	}
	c.SetRules(func(r *Rules) { r.HideQuantities = true })
	if up = c.fate(offline+"calls_uploading/", up); up["linked_quantity"] != nil {
		t.Errorf("hidden quantities: %v", up)
	}
}

// A row that is sent again overwrites the first, and a test can tell.
func TestDoubles(t *testing.T) {
	t.Parallel()
	for _, keep := range []string{"all", "keys"} {
		c := withTargets(t, map[string]string{"keep": keep}, "order")
		at := unix(start.Add(-time.Hour))
		file := func(price string) string {
			return "ClientId,Target,DateTime,Price\n1,order," + at + "," + price + "\n"
		}
		c.take(offline+"upload?comment=first", file("10"))
		c.take(offline+"upload?comment=second", file("20"))
		rows := c.Conversions(DefaultCounter)
		if len(rows) != 1 || rows[0].Times != 2 || keep == "all" && rows[0].Values["Price"] != "20" || keep == "keys" && rows[0].Values != nil {
			t.Errorf("%s: %+v", keep, rows)
		}
		if again := c.SentAgain(DefaultCounter, "conversions"); len(again) != 1 || again[0] != "ClientId=1;Target=order;DateTime="+at {
			t.Errorf("%s: %q", keep, again)
		}
		if v := c.Violations(); len(v) > 0 {
			t.Errorf("%q", v)
		}
		c.take(offline+"upload?comment=second", file("20"))
		c.take(offline+"upload?comment=third", file("1")+"1,order,"+at+",2\n")
		v := c.Violations()
		if len(v) != 2 || !strings.Contains(v[0], "used before") || !strings.Contains(v[1], "repeat another row") {
			t.Errorf("%q", v)
		}
	}
}

func TestOfflineContentThatIsRefused(t *testing.T) {
	t.Parallel()
	past := unix(start.Add(-time.Hour))
	const conversions, calls, chats = "ClientId,UserId,Target,DateTime,Price,Currency\n", "ClientId,DateTime,StaticCall,PhoneNumber,TalkDuration,CallMissed,Price\n", "ClientID,DateTime,ChatPlatform,ChatUserID\n"
	tests := []struct{ name, path, file, kind string }{
		{"no header", "upload", "", "invalid_uploading"},
		{"unknown column", "upload", "ClientId,Target,DateTime,id\n1,order," + past + ",7\n", "invalid_uploading"},
		{"column twice in two spellings", "upload", "ClientId,ClientID,Target,DateTime\n1,1,order," + past + "\n", "invalid_uploading"},
		{"byte order mark", "upload", "\ufeffClientId,Target,DateTime\n1,order," + past + "\n", "invalid_uploading"},
		{"no Target column", "upload", "ClientId,DateTime\n1," + past + "\n", "invalid_uploading"},
		{"empty Target", "upload", conversions + "1,,," + past + ",,\n", "invalid_uploading"},
		{"nobody's", "upload", conversions + ",,order," + past + ",,\n", "invalid_uploading"},
		{"ClientID in words", "upload", conversions + "abc,,order," + past + ",,\n", "invalid_uploading"},
		{"missing cell", "upload", conversions + "1,,order," + past + "\n", "invalid_uploading"},
		{"not UTF-8", "upload", conversions + "1,\xff,order," + past + ",,\n", "invalid_uploading"},
		{"date in words", "upload", conversions + "1,,order,2026-11-21 10:00:00,,\n", "invalid_uploading"},
		{"milliseconds", "upload", conversions + "1,,order," + past + "000,,\n", "invalid_uploading"},
		{"the future", "upload", conversions + "1,,order," + unix(start.Add(time.Hour)) + ",,\n", "invalid_uploading"},
		{"before 1970", "upload", conversions + "1,,order,-5,,\n", "invalid_uploading"},
		{"price with a comma", "upload", conversions + "1,,order," + past + ",\"1,5\",RUB\n", "invalid_uploading"},
		{"currency in lower case", "upload", conversions + "1,,order," + past + ",1,rub\n", "invalid_uploading"},
		{"type", "upload?type=LEADS", conversions, "invalid_parameter"},
		{"comment with a dash", "upload?comment=a-b", conversions, "invalid_parameter"},
		{"long comment", "upload?comment=" + strings.Repeat("a", 256), conversions, "invalid_parameter"},
		{"dynamic call of nobody", "upload_calls", calls + "," + past + ",0,+70123456789,,,\n", "invalid_uploading"},
		{"phone without plus", "upload_calls", calls + "1," + past + ",,70123456789,,,\n", "invalid_uploading"},
		{"duration in words", "upload_calls", calls + "1," + past + ",,,1:05,,\n", "invalid_uploading"},
		{"negative duration", "upload_calls", calls + "1," + past + ",,,-1,,\n", "invalid_uploading"},
		{"flag in words", "upload_calls", calls + "1," + past + ",,,,true,\n", "invalid_uploading"},
		{"calls have no Target", "upload_calls", "ClientId,DateTime,Target\n1," + past + ",order\n", "invalid_uploading"},
		{"platform in capitals", "upload?type=CHATS", chats + "1," + past + ",Telegram,7\n", "invalid_uploading"},
		{"chat with nobody", "upload?type=CHATS", chats + "1," + past + ",telegram,\n", "invalid_uploading"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			c := withTargets(t, nil, "order")
			status, got := c.send(offline+tt.path, tt.file)
			if status != http.StatusBadRequest || errorType(got) != tt.kind {
				t.Errorf("%d %v", status, got)
			}
			if len(c.ManagedUploads(DefaultCounter, "")) != 0 || len(c.Violations()) == 0 {
				t.Errorf("%+v %q", c.ManagedUploads(DefaultCounter, ""), c.Violations())
			}
		})
	}
}

// A row that is not valid may also be left out silently (§6.3); the future fails
// the file all the same.
func TestDroppedRows(t *testing.T) {
	t.Parallel()
	c := withTargets(t, map[string]string{"bad_rows": "drop"}, "order")
	at := unix(start.Add(-time.Hour))
	up := c.take(offline+"upload", "ClientId,Target,DateTime\n1,order,"+at+"\nx,order,"+at+"\n2,order,"+at+"\n")
	if up["source_quantity"] != 3.0 || up["line_quantity"] != 2.0 || c.RowCount(DefaultCounter, "conversions") != 2 {
		t.Errorf("%v", up)
	}
	if status, _ := c.send(offline+"upload", "ClientId,Target,DateTime\n1,order,"+unix(start.Add(time.Hour))+"\n"); status != 400 {
		t.Errorf("the future: %d", status)
	}
}

func TestLinking(t *testing.T) {
	t.Parallel()
	now := start
	at := func(ago time.Duration) string { return unix(now.Add(-ago)) }
	const day = 24 * time.Hour
	tests := []struct {
		name, path, file string
		status           string
		known, linked    int
	}{
		{"visit before", "upload", "ClientId,Target,DateTime\n1,order," + at(day) + "\n", "PROCESSED", 1, 1},
		{"visit after", "upload", "ClientId,Target,DateTime\n1,order," + at(3*day) + "\n", "PROCESSED", 1, 0},
		{"visit more than 21 days ago", "upload", "ClientId,Target,DateTime\n2,order," + at(29*day) + "\n", "PROCESSED", 1, 0},
		{"nobody known", "upload", "ClientId,Target,DateTime\n3,order," + at(day) + "\n4,order," + at(day) + "\n", "LINKAGE_FAILURE", 0, 0},
		{"by click", "upload", "Yclid,ClientId,Target,DateTime\n77,,order," + at(day) + "\n", "PROCESSED", 1, 1},
		{"by user", "upload", "UserID,Target,DateTime\nanna,order," + at(day) + "\n", "PROCESSED", 1, 1},
		{"unknown goal", "upload", "ClientId,Target,DateTime\n1,ghost," + at(day) + "\n", "PROCESSED", 1, 0},
		{"static calls only", "upload_calls", "DateTime,StaticCall,PhoneNumber\n" + at(day) + ",1,+70123456789\n", "LINKAGE_FAILURE", 0, 0},
		{"a dynamic one with them", "upload_calls", "ClientId,DateTime,StaticCall\n," + at(day) + ",1\n1," + at(day) + ",0\n", "PROCESSED", 1, 1},
		{"chat of nobody", "upload?type=CHATS", "DateTime,ChatPlatform,PhoneNumber\n" + at(day) + ",viber,+70123456789\n", "LINKAGE_FAILURE", 0, 0},
		{"chat", "upload?type=CHATS", "ClientID,DateTime,ChatPlatform,ChatUsername\n1," + at(day) + ",telegram,anna\n", "PROCESSED", 1, 1},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			c := withTargets(t, nil, "order")
			c.AddVisitor(DefaultCounter, "1", now.Add(-2*day))
			c.AddVisitor(DefaultCounter, "2", now.Add(-30*day))
			c.AddVisit(DefaultCounter, "Yclid", "77", now.Add(-2*day))
			c.AddVisit(DefaultCounter, "UserId", "anna", now.Add(-2*day))
			c.take(offline+tt.path, tt.file)
			c.Advance(time.Hour)
			up := c.ManagedUploads(DefaultCounter, "")[0]
			if up.Status != tt.status || up.Matched != tt.known || up.Linked != tt.linked {
				t.Errorf("%+v", up)
			}
		})
	}
}

func TestUnknownGoals(t *testing.T) {
	t.Parallel()
	file := "ClientId,Target,DateTime\n1,loose," + unix(start.Add(-time.Hour)) + "\n1,order," + unix(start.Add(-time.Hour)) + "\n"
	c := withTargets(t, nil, "order")
	// A goal whose condition is not exact does not serve (§4.2).
	if _, err := c.AddGoal(DefaultCounter, Goal{Name: "loose", Type: "action", Conditions: []GoalCondition{{Type: "contain", URL: "loose"}}}); err != nil {
		t.Fatal(err)
	}
	c.take(offline+"upload", file)
	if up := c.ManagedUploads(DefaultCounter, "conversions")[0]; up.GoalNotFound != 1 || up.Linked != 1 || len(c.Violations()) != 1 {
		t.Errorf("%+v %q", up, c.Violations())
	}
	c.SetRules(func(r *Rules) { r.UnknownGoal = "refuse" })
	if status, got := c.send(offline+"upload", file); status != 400 || errorType(got) != "invalid_uploading" {
		t.Errorf("%d %v", status, got)
	}
}

// Calls and chats make their goals by themselves; a given name is used once.
func TestGoalsOfCallsAndChats(t *testing.T) {
	t.Parallel()
	c := newCaller(t, nil)
	at := unix(start.Add(-time.Hour))
	for i := range 2 {
		c.take(fmt.Sprintf("%supload_calls?new_goal_name=Call%d", offline, i), fmt.Sprintf("ClientId,DateTime\n%d,%s\n", i+1, at))
	}
	c.take(offline+"upload?type=CHATS", "DateTime,ChatPlatform,ChatUserID\n"+at+",whatsapp,1\n")
	goals := c.Goals(DefaultCounter)
	if len(goals) != 2 || goals[0].Name != "Call0" || goals[1].Name != "Чат" || goals[0].Source != "auto" {
		t.Errorf("%+v", goals)
	}
	if v := c.Violations(); len(v) > 0 {
		t.Errorf("%q", v)
	}
}

func TestListsOfUploads(t *testing.T) {
	t.Parallel()
	c := withTargets(t, map[string]string{"list_lag": "1m"}, "order")
	at := unix(start.Add(-time.Hour))
	for i := range 3 {
		c.take(fmt.Sprintf("%supload?comment=c%d", offline, i), fmt.Sprintf("ClientId,Target,DateTime\n%d,order,%s\n", i+1, at))
	}
	c.take(offline+"upload_calls?comment=k0", "ClientId,DateTime\n1,"+at+"\n")
	c.take(offline+"upload?type=CALLS&comment=k1", "ClientId,DateTime\n2,"+at+"\n")
	comments := func(path string) string {
		status, got := c.do("GET", path, "", nil)
		if status != 200 {
			return errorType(got)
		}
		var out []string
		for _, up := range got["uploadings"].([]any) {
			out = append(out, up.(map[string]any)["comment"].(string))
		}
		return strings.Join(out, " ")
	}
	if got := comments(offline + "uploadings"); got != "" {
		t.Errorf("at once: %s", got)
	}
	c.Advance(2 * time.Minute)
	for path, want := range map[string]string{
		"uploadings":                  "k1 c2 c1 c0",
		"uploadings?limit=2&offset=1": "c2 c1",
		"uploadings?limit=10001":      "invalid_parameter",
		"uploadings?offset=-1":        "invalid_parameter",
		"calls_uploadings":            "k1 k0",
	} {
		if got := comments(offline + path); got != want {
			t.Errorf("%s: %s", path, got)
		}
	}
	c.SetRules(func(r *Rules) { r.ListOrder = "oldest" })
	if got := comments(offline + "calls_uploadings"); got != "k0 k1" {
		t.Errorf("oldest first: %s", got)
	}
	if status, _ := c.do("GET", offline+"uploading/77", "", nil); status != 404 {
		t.Errorf("an unknown upload: %d", status)
	}
}

func TestCommentStrictness(t *testing.T) {
	t.Parallel()
	file := "ClientId,Target,DateTime\n1,order," + unix(start.Add(-time.Hour)) + "\n"
	for rule, want := range map[string]int{"refuse": 400, "warn": 200, "take": 200} {
		c := withTargets(t, map[string]string{"comment": rule}, "order")
		status, _ := c.send(offline+"upload?comment="+url.QueryEscape("no_1"), file)
		if status != want || (rule == "take") != (len(c.Violations()) == 0) {
			t.Errorf("%s: %d %q", rule, status, c.Violations())
		}
		if status, _ := c.send(offline+"upload?comment="+url.QueryEscape("Заявка Ёж 12"), file); status != 200 {
			t.Errorf("%s: a proper comment: %d", rule, status)
		}
	}
}

// What Metrica would take but ruin is told.
func TestOfflineViolations(t *testing.T) {
	t.Parallel()
	at := unix(start.Add(-time.Hour))
	tests := []struct{ name, path, file, want string }{
		{"unsupported currency", "upload", "ClientId,Target,DateTime,Price,Currency\n1,order," + at + ",5,QQQ\n", "the sums are lost"},
		{"address", "upload_calls", "ClientId,DateTime,URL\n1," + at + ",shop.example\n", "not http addresses"},
		{"parameter", "upload?goal=order", "ClientId,Target,DateTime\n1,order," + at + "\n", "not known"},
		{"column of chats", "upload?type=CHATS", "DateTime,ChatPlatform,ChatUserID,Tag\n" + at + ",viber,1,x\n", "no document names"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			c := withTargets(t, nil, "order")
			c.take(offline+tt.path, tt.file)
			if v := c.Violations(); len(v) != 1 || !strings.Contains(v[0], tt.want) {
				t.Errorf("%q", v)
			}
		})
	}
}

func TestMaskedPhones(t *testing.T) {
	t.Parallel()
	for phone, want := range map[string]bool{
		"+70123456789": true, "+701234567": true, "+701234567**": true, "+701234567XX": true,
		"+7 0123456789": false, "+7": false, "+**********": false, "+7012345678901234": false,
	} {
		if isPlusPhone(phone) != want {
			t.Errorf("%s: %v", phone, !want)
		}
	}
}

// Nobody brings the sandbox down with a file of the management interface.
func FuzzSheets(f *testing.F) {
	f.Add(sample(f, "offline_conversions.csv"), "a")
	f.Add(sample(f, "calls_header_without_staticcall.csv"), "Ж")
	f.Add(sample(f, "expenses.csv"), "-")
	f.Add("UserId,Key,Value\nu,k,v\n", "1")
	f.Add("ClientID,DateTime,ChatPlatform,ChatUserID\n1,1,viber,1\n", "")
	f.Fuzz(func(t *testing.T, file, comment string) {
		for _, bad := range []string{"refuse", "drop"} {
			c := withTargets(t, map[string]string{"bad_rows": bad}, "order")
			for _, path := range []string{
				offline + "upload?comment=", offline + "upload?type=CHATS&comment=", offline + "upload_calls?comment=",
				managed + "user_params/uploadings/upload?action=update&comment=", managed + "expense/upload?comment=", managed + "expense/delete?comment=",
			} {
				contentType, body := multipartOf("file", "data.csv", "text/csv", file)
				if status, got := c.do("POST", path+url.QueryEscape(comment), contentType, body); status != 200 && status != 400 {
					t.Fatalf("%d %v", status, got)
				}
			}
			for _, kind := range []string{"conversions", "calls", "chats", "expenses"} {
				c.Rows(DefaultCounter, kind, 0)
			}
		}
	})
}

// A million conversions pass through in a stream; run it with -benchtime=1x.
func BenchmarkMillionConversions(b *testing.B) {
	for _, keep := range []string{"all", "keys"} {
		b.Run(keep, func(b *testing.B) {
			for b.Loop() {
				c := withTargets(b, map[string]string{"keep": keep}, "order")
				body, finish := io.Pipe()
				done := make(chan struct{})
				go func() {
					defer close(done)
					_, _ = io.WriteString(finish, "--b\r\nContent-Disposition: form-data; name=\"file\"; filename=\"data.csv\"\r\nContent-Type: text/csv\r\n\r\nClientId,Target,DateTime,Price,Currency\n")
					var rows bytes.Buffer
					for i := range 1_000_000 {
						fmt.Fprintf(&rows, "16%09d,order,%d,1%d.50,RUB\n", i, start.Unix()-int64(i), i)
						if rows.Len() > 1<<16 {
							_, _ = rows.WriteTo(finish)
						}
					}
					_, _ = rows.WriteTo(finish)
					_, _ = io.WriteString(finish, "\r\n--b--\r\n")
					_ = finish.Close()
				}()
				_, got := c.do("POST", offline+"upload?comment=million", "multipart/form-data; boundary=b", body)
				<-done
				if up := got["uploading"].(map[string]any); up["line_quantity"] != 1e6 {
					b.Fatalf("%v", up)
				}
				b.ReportMetric(liveMegabytes(), "live-MB")
				if c.RowCount(DefaultCounter, "conversions") != 1_000_000 {
					b.Fatal("rows are missing")
				}
			}
		})
	}
}

// With keys only, uploads of CRM data are checked and counted as ever.
func TestKeysOfCRMData(t *testing.T) {
	t.Parallel()
	c := newCaller(t, map[string]string{"keep": "keys"})
	c.mustPass("contacts", "SAVE", "uniq_id,name,phones\nc,Anna,79995551111\n")
	c.mustPass("orders", "SAVE", "id,client_uniq_id,client_type,create_date_time,order_status,revenue\no,c,CONTACT,2026-01-01,PAID,5\n")
	contact, _ := c.Entity(DefaultCounter, "contacts", "c")
	order, _ := c.Entity(DefaultCounter, "orders", "o")
	if !maps.Equal(contact, map[string]string{"uniq_id": "c"}) || order["revenue"] != "" || order["client_uniq_id"] != "c" || len(c.Violations()) > 0 {
		t.Errorf("%v %v %q", contact, order, c.Violations())
	}
	if up := c.post("contacts", "merge_mode=SAVE", "uniq_id,phones\nd,+7\n"); up["api_validation_status"] != "FAILED" {
		t.Errorf("%v", up)
	}
}
