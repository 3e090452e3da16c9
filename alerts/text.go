package alerts

import (
	"fmt"
	"net/url"
	"strings"
	"time"
)

// Message is a notice in words.
type Message struct {
	ID      string // the same over all attempts
	Subject string
	Text    string
	Notice  Notice
	Items   []Item // what the text lists, for programs
}

// Item is one trouble in words.
type Item struct {
	State string `json:"state"` // new, lasting, resolved
	Trouble
	Text string `json:"text"`
	URL  string `json:"url"`
}

// Languages of messages.
const (
	Russian = "ru"
	English = "en"
)

// words are the texts of one language. %s in the reasons is a length of time or,
// for tokens, a day.
type words struct {
	fresh, lasting, resolved              string // headings
	countNew, countLasting, countResolved string
	subjects                              map[string]string
	reasons                               map[Reason]string
	over                                  map[Reason]string
	days, hours, minutes                  string
	test                                  string
}

var languages = map[string]words{
	Russian: {
		fresh: "Новое", lasting: "Всё ещё", resolved: "Решено",
		countNew: "новых проблем: %d", countLasting: "всё ещё: %d", countResolved: "решено: %d",
		subjects: map[string]string{SubjectConnection: "подключение", SubjectFlow: "поток"},
		reasons: map[Reason]string{
			BacklogOld:        "записи журнала ждут разбора уже %s",
			ConnectionFailing: "вызовы не удаются",
			FlowBehind:        "строки ждут отправки уже %s",
			FlowFailing:       "отправка не удаётся",
			GuardRaised:       "выгрузка по запросу придержана: записей намного меньше, чем в прошлый раз",
			NeedsReauth:       "доступ отклонён, нужна новая авторизация",
			Silent:            "ничего не приходило уже %s",
			TokenExpiring:     "токен действует до %s, и продлить его некому",
			UploadInDoubt:     "исход загрузки неизвестен уже %s",
		},
		over: map[Reason]string{
			BacklogOld:        "журнал разобран",
			ConnectionFailing: "вызовы снова удаются",
			FlowBehind:        "поток больше не отстаёт",
			FlowFailing:       "отправка снова удаётся",
			GuardRaised:       "выгрузка по запросу снова идёт",
			NeedsReauth:       "доступ снова есть",
			Silent:            "данные снова приходят",
			TokenExpiring:     "токен заменён",
			UploadInDoubt:     "исход загрузки выяснен",
		},
		days: "дн", hours: "ч", minutes: "мин",
		test: "Проверка: сообщения Svod доходят сюда.",
	},
	English: {
		fresh: "New", lasting: "Still", resolved: "Resolved",
		countNew: "new problems: %d", countLasting: "still: %d", countResolved: "resolved: %d",
		subjects: map[string]string{SubjectConnection: "connection", SubjectFlow: "flow"},
		reasons: map[Reason]string{
			BacklogOld:        "journal entries have waited for %s",
			ConnectionFailing: "calls fail",
			FlowBehind:        "rows have waited to be sent for %s",
			FlowFailing:       "sending fails",
			GuardRaised:       "a pull is held back: far fewer records than last time",
			NeedsReauth:       "access is refused, authorise it again",
			Silent:            "nothing was received for %s",
			TokenExpiring:     "the token ends on %s and nothing renews it",
			UploadInDoubt:     "the outcome of an upload has been unknown for %s",
		},
		over: map[Reason]string{
			BacklogOld:        "the journal is worked off",
			ConnectionFailing: "calls succeed again",
			FlowBehind:        "the flow is not behind any more",
			FlowFailing:       "sending succeeds again",
			GuardRaised:       "the pull goes on",
			NeedsReauth:       "access is back",
			Silent:            "data comes in again",
			TokenExpiring:     "the token was replaced",
			UploadInDoubt:     "the outcome of the upload is known",
		},
		days: "d", hours: "h", minutes: "min",
		test: "Test: messages of Svod arrive here.",
	},
}

// Writer puts notices into words.
type Writer struct {
	Language  string // Russian or English
	PublicURL string // of the hub, without a slash at the end
}

// Message writes a notice.
func (w Writer) Message(id string, n Notice) Message {
	in := w.words()
	var counts []string
	var text strings.Builder
	m := Message{ID: id, Notice: n}
	for _, part := range []struct {
		state, heading, count string
		troubles              []Trouble
	}{
		{"new", in.fresh, in.countNew, n.New},
		{"lasting", in.lasting, in.countLasting, n.Lasting},
		{"resolved", in.resolved, in.countResolved, n.Resolved},
	} {
		if len(part.troubles) == 0 {
			continue
		}
		counts = append(counts, fmt.Sprintf(part.count, len(part.troubles)))
		text.WriteString("\n" + part.heading + "\n")
		for _, t := range part.troubles {
			item := Item{State: part.state, Trouble: t, Text: in.says(t, part.state == "resolved", n.At), URL: w.link(t)}
			m.Items = append(m.Items, item)
			fmt.Fprintf(&text, "• %s\n  %s\n", item.Text, item.URL)
		}
	}
	m.Subject = oneLine("Svod: " + strings.Join(counts, ", "))
	m.Text = m.Subject + "\n" + text.String()
	return m
}

// Test writes the message of `svod alerts test`.
func (w Writer) Test(id string, now time.Time) Message {
	text := w.words().test
	return Message{ID: id, Subject: "Svod: " + strings.TrimSuffix(text, "."), Text: text + "\n" + w.PublicURL + "/console/\n", Notice: Notice{At: now}}
}

func (w Writer) words() words {
	if in, ok := languages[w.Language]; ok {
		return in
	}
	return languages[Russian]
}

func (w Writer) link(t Trouble) string {
	return w.PublicURL + "/console/p/" + url.PathEscape(t.Project) + "/" + t.Subject + "s/" + url.PathEscape(t.ID)
}

func (in words) says(t Trouble, over bool, now time.Time) string {
	text := in.over[t.Reason]
	if !over {
		text = in.reasons[t.Reason]
		if strings.Contains(text, "%s") {
			text = fmt.Sprintf(text, in.when(t, now))
		}
		if t.Cause != "" {
			text += " (" + string(t.Cause) + ")"
		}
	}
	return oneLine(fmt.Sprintf("%s, %s %s: %s", t.ProjectName, in.subjects[t.Subject], t.ID, text))
}

func (in words) when(t Trouble, now time.Time) string {
	if !t.Until.IsZero() {
		return t.Until.UTC().Format(time.DateOnly)
	}
	return in.length(now.Sub(t.Since))
}

// length writes a length of time in its two largest units.
func (in words) length(d time.Duration) string {
	minutes := int(d / time.Minute)
	switch {
	case minutes < 60:
		return fmt.Sprintf("%d %s", max(minutes, 1), in.minutes)
	case minutes < 48*60:
		return fmt.Sprintf("%d %s %d %s", minutes/60, in.hours, minutes%60, in.minutes)
	}
	return fmt.Sprintf("%d %s %d %s", minutes/60/24, in.days, minutes/60%24, in.hours)
}

// oneLine keeps a name with line breaks from looking like a part of the message,
// or of a mail's head.
func oneLine(text string) string { return strings.Join(strings.Fields(text), " ") }
