package config

import (
	"encoding/base64"
	"fmt"
	"net"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
	_ "time/tzdata" // zones must be known where the system has none

	"golang.org/x/text/currency"
	"golang.org/x/text/language"

	"github.com/svod-hub/svod/internal/spelling"
	"github.com/svod-hub/svod/model"
)

// The defaults.
const (
	defaultBody       = 1 << 20
	defaultCurrency   = "RUB"
	defaultDatabase   = "sqlite:data/svod.db"
	defaultJournal    = 20_000
	defaultListen     = "127.0.0.1:8080"
	defaultPoll       = 10 * time.Minute
	defaultPullHeader = 1 << 20
	defaultRedis      = "embedded"
	defaultRegion     = "RU"
	defaultTimezone   = "Europe/Moscow"

	keepJournal = 30 * 24 * time.Hour
	keepUploads = 180 * 24 * time.Hour
)

func orDefault[T comparable](value *T, otherwise T) {
	var zero T
	if *value == zero {
		*value = otherwise
	}
}

// WithDefaults fills in what was left out.
func (c *Config) WithDefaults() {
	orDefault(&c.Server.Listen, defaultListen)
	orDefault(&c.Server.Limits.Body, defaultBody)
	orDefault(&c.Server.Limits.Journal, defaultJournal)
	orDefault(&c.Server.Limits.PullHeader, defaultPullHeader)
	orDefault(&c.Database, defaultDatabase)
	orDefault(&c.Redis, defaultRedis)
	orDefault(&c.Retention.Journal, keepJournal)
	orDefault(&c.Retention.Uploads, keepUploads)
	c.Alerts.withDefaults()
	for i := range c.Projects {
		p := &c.Projects[i]
		orDefault(&p.Name, p.ID)
		orDefault(&p.Timezone, defaultTimezone)
		orDefault(&p.Currency, defaultCurrency)
		orDefault(&p.Region, defaultRegion)
		if zone, err := time.LoadLocation(p.Timezone); err == nil {
			p.Zone = zone
		}
		for j := range p.Connections {
			if p.Connections[j].Poll == nil {
				poll := defaultPoll
				p.Connections[j].Poll = &poll
			}
		}
	}
}

// at finds the node of a key such as projects[0].id, or the nearest above it.
func (l *loader) at(key string) *node {
	n := l.root
	for part := range strings.SplitSeq(key, ".") {
		name, index, hasIndex := strings.Cut(part, "[")
		child := n.child(name)
		if child == nil {
			break
		}
		n = child
		for hasIndex {
			var number string
			number, index, _ = strings.Cut(index, "]")
			index, hasIndex = strings.CutPrefix(index, "[")
			i, err := strconv.Atoi(number)
			if err != nil || i >= len(n.items) {
				return n
			}
			n = n.items[i]
		}
	}
	return n
}

// bad tells a mistake, unless one was told there already: it would only follow
// from it.
func (l *loader) bad(key, format string, args ...any) bool {
	for _, told := range l.problems {
		if told.Key == key || strings.HasPrefix(key, told.Key+".") {
			return false
		}
	}
	l.problems = append(l.problems, Problem{File: l.file, Line: l.at(key).line, Key: key, Message: fmt.Sprintf(format, args...)})
	return true
}

func (l *loader) warn(key, format string, args ...any) {
	if l.bad(key, format, args...) {
		l.problems[len(l.problems)-1].Warning = true
	}
}

// validate checks what the types alone do not say.
func (l *loader) validate() {
	if l.root.shape != isMapping {
		return // told by decode
	}
	l.server()
	l.storage()
	l.console()
	l.alerts()
	if len(l.config.Projects) == 0 && l.root.child("projects") == nil {
		l.bad("projects", "there is no project; add projects: with at least one")
	}
	seen := make(map[string]int)
	for i := range l.config.Projects {
		key := fmt.Sprintf("projects[%d]", i)
		l.id(key+".id", l.config.Projects[i].ID, seen, i, "project")
		l.project(key, &l.config.Projects[i])
	}
}

func (l *loader) server() {
	s := &l.config.Server
	if _, port, err := net.SplitHostPort(s.Listen); err != nil || !validPort(port) {
		l.bad("server.listen", "%q is no address with a port; write one such as 127.0.0.1:8080 or :8080", short(s.Listen))
	}
	if s.PublicURL != "" {
		if u, err := url.Parse(s.PublicURL); err != nil || u.Scheme != "https" && u.Scheme != "http" || u.Host == "" || u.RawQuery != "" || u.User != nil {
			l.bad("server.public_url", "this is no address of a site; write one such as https://hub.example.ru")
		}
	}
	if s.Limits.Body < 1024 || s.Limits.Body > 1<<30 {
		l.bad("server.limits.body", "the limit is not between 1KiB and 1GiB")
	}
	if s.Limits.PullHeader < 4096 || s.Limits.PullHeader > 64<<20 {
		l.bad("server.limits.pull_header", "the limit is not between 4KiB and 64MiB")
	}
	if s.Limits.Journal < 1 {
		l.bad("server.limits.journal", "the limit is less than 1")
	}
	if s.Limits.HookRate < 0 {
		l.bad("server.limits.hook_rate", "the limit is less than 0; write 0 to switch it off")
	}
}

func validPort(text string) bool {
	number, err := strconv.ParseUint(text, 10, 16)
	return err == nil && number <= 65535
}

func (l *loader) storage() {
	c := l.config
	path, isSQLite := strings.CutPrefix(c.Database, "sqlite:")
	switch {
	case isSQLite && path == "":
		l.bad("database", "sqlite: lacks the path of the file; write one such as sqlite:data/svod.db")
	case !isSQLite && !hasScheme(c.Database, "postgres", "postgresql"):
		l.bad("database", "this is no database; write sqlite:PATH or postgres://user@host/name")
	}
	if c.Redis != "embedded" && !hasScheme(c.Redis, "redis", "rediss", "redis-sentinel", "redis-cluster") {
		l.bad("redis", "this is no Redis; write embedded, redis://…, rediss://…, redis-sentinel://… or redis-cluster://…")
	}
	if key := c.SecretKey.Reveal(); key != "" {
		l.masterKey("secret_key", key)
	}
	for i, key := range c.OldSecretKeys {
		l.masterKey(fmt.Sprintf("old_secret_keys[%d]", i), key.Reveal())
	}
	if c.Retention.Journal < time.Hour {
		l.bad("retention.journal", "the journal is kept for less than an hour; write 1h or more")
	}
	if c.Retention.Uploads < time.Hour {
		l.bad("retention.uploads", "uploads are kept for less than an hour; write 1h or more")
	}
}

func (l *loader) masterKey(key, text string) {
	if raw, err := base64.StdEncoding.DecodeString(strings.TrimSpace(text)); err != nil || len(raw) != 32 {
		l.bad(key, "the key is not 32 bytes in base64; make one with: openssl rand -base64 32")
	}
}

func hasScheme(text string, schemes ...string) bool {
	scheme, rest, found := strings.Cut(text, "://")
	return found && rest != "" && slices.Contains(schemes, scheme)
}

func (l *loader) console() {
	users, tokens := make(map[string]int), make(map[string]int)
	for i, user := range l.config.Console.Users {
		key := fmt.Sprintf("console.users[%d]", i)
		l.name(key, user.Name, users, i)
		switch password := user.Password.Reveal(); {
		case password == "":
			l.bad(key+".password", "the user has no password; write one, best as ${NAME}")
		case len(password) < 8:
			l.warn(key+".password", "the password is shorter than 8 characters; choose a longer one")
		}
	}
	for i, token := range l.config.Console.Tokens {
		key := fmt.Sprintf("console.tokens[%d]", i)
		l.name(key, token.Name, tokens, i)
		switch text := token.Token.Reveal(); {
		case text == "":
			l.bad(key+".token", "the token is empty; make one with: openssl rand -hex 24")
		case len(text) < 16:
			l.warn(key+".token", "the token is shorter than 16 characters; make one with: openssl rand -hex 24")
		}
		for j, id := range token.Projects {
			l.exists(fmt.Sprintf("%s.projects[%d]", key, j), "project", id, l.projectIDs())
		}
	}
}

func (l *loader) name(key, name string, seen map[string]int, i int) {
	first, repeated := seen[name]
	switch {
	case strings.TrimSpace(name) == "":
		l.bad(key+".name", "the name is missing; write one")
	case repeated:
		l.bad(key+".name", "the name %s is used by number %d already; choose another", short(name), first+1)
	}
	seen[name] = i
}

func (l *loader) projectIDs() []string {
	var ids []string
	for _, p := range l.config.Projects {
		ids = append(ids, p.ID)
	}
	return ids
}

var idPattern = regexp.MustCompile(`^[a-z0-9][a-z0-9-]{0,62}$`)

func (l *loader) id(key, id string, seen map[string]int, i int, what string) {
	first, repeated := seen[id]
	switch {
	case id == "":
		l.bad(key, "the %s has no id; write one such as %s-%d", what, what, i+1)
		return
	case !idPattern.MatchString(id):
		l.bad(key, "%q is no id; use lower-case Latin letters, digits and hyphens, at most 63, for example %s-%d", short(id), what, i+1)
	case repeated:
		l.bad(key, "the id %s is taken by %s number %d; choose another", id, what, first+1)
	}
	seen[id] = i
}

// exists checks that an id is among the known ones.
func (l *loader) exists(key, what, id string, known []string) bool {
	if slices.Contains(known, id) {
		return true
	}
	hint := spelling.Hint(id, known)
	if hint == "" && len(known) > 0 {
		hint = "; there are " + strings.Join(known, ", ")
	}
	l.bad(key, "there is no %s %q%s", what, short(id), hint)
	return false
}

func (l *loader) project(key string, p *Project) {
	if p.Zone == nil || p.Timezone == "Local" {
		l.bad(key+".timezone", "%q is no time zone; write one such as Europe/Moscow or Asia/Yekaterinburg", short(p.Timezone))
	}
	if _, err := currency.ParseISO(p.Currency); err != nil || p.Currency != strings.ToUpper(p.Currency) {
		l.bad(key+".currency", "%q is no ISO 4217 code; write one such as RUB", short(p.Currency))
	}
	if region, err := language.ParseRegion(p.Region); err != nil || !region.IsCountry() || len(p.Region) != 2 {
		l.bad(key+".region", "%q is no country of ISO 3166; write one such as RU", short(p.Region))
	}
	var ids []string
	seen := make(map[string]int)
	for i := range p.Connections {
		l.id(fmt.Sprintf("%s.connections[%d].id", key, i), p.Connections[i].ID, seen, i, "connection")
		ids = append(ids, p.Connections[i].ID)
	}
	for i := range p.Connections {
		l.connection(fmt.Sprintf("%s.connections[%d]", key, i), &p.Connections[i], ids)
	}
	seen = make(map[string]int)
	for i := range p.Flows {
		flowKey := fmt.Sprintf("%s.flows[%d]", key, i)
		l.id(flowKey+".id", p.Flows[i].ID, seen, i, "flow")
		l.flow(flowKey, &p.Flows[i], ids)
		l.second(flowKey, p, i)
	}
}

var secretPattern = regexp.MustCompile(`^[A-Za-z0-9._~-]{1,128}$`)

func (l *loader) connection(key string, c *Connection, ids []string) {
	switch {
	case c.Kind == "":
		l.bad(key+".kind", "the connection does not say what it connects to; write kind:%s", l.kindList())
	case l.kinds != nil && !l.kinds.Known(c.Kind):
		hint := spelling.Hint(c.Kind, l.kinds.Kinds())
		if hint == "" {
			hint = "; write" + l.kindList()
		}
		l.bad(key+".kind", "there is no kind %q%s", short(c.Kind), hint)
	}
	switch secret := c.HookSecret.Reveal(); {
	case secret == "":
	case !secretPattern.MatchString(secret):
		l.bad(key+".hook_secret", "the secret cannot be part of an address; use at most 128 Latin letters, digits, ., _, ~ and -")
	case len(secret) < 16:
		l.warn(key+".hook_secret", "the secret is shorter than 16 characters and can be guessed; leave the key out and the hub makes one")
	}
	switch {
	case c.Poll == nil || *c.Poll == 0:
	case *c.Poll < time.Second:
		l.bad(key+".poll", "the system would be asked more often than every second; write 10s or more, or 0 to switch it off")
	case *c.Poll < 10*time.Second:
		l.warn(key+".poll", "the system is asked more often than every 10 seconds, which uses up its limits; 1m to 30m is usual")
	}
	for i, id := range c.RecordsFrom {
		place := fmt.Sprintf("%s.records_from[%d]", key, i)
		if l.exists(place, "connection", id, ids) && id == c.ID {
			l.bad(place, "the connection names itself; name connections that bring records in")
		}
	}
}

func (l *loader) kindList() string {
	if l.kinds == nil {
		return " and the name of a system"
	}
	return " one of " + strings.Join(l.kinds.Kinds(), ", ")
}

func (l *loader) flow(key string, f *Flow, ids []string) {
	if len(f.From) == 0 {
		l.bad(key+".from", "the flow has no source; write from: and the ids of connections")
	}
	for i, id := range f.From {
		place := fmt.Sprintf("%s.from[%d]", key, i)
		if l.exists(place, "connection", id, ids) && slices.Contains(f.From[:i], id) {
			l.bad(place, "the connection %s is named twice; remove one", id)
		}
	}
	if f.To == "" {
		l.bad(key+".to", "the flow has no destination; write to: and the id of a connection")
	} else {
		l.exists(key+".to", "connection", f.To, ids)
	}
	switch {
	case f.Record == "":
		l.bad(key+".record", "the flow does not say what it sends; write record: and a kind such as deal or contact")
	case !f.Record.Valid():
		var names []string
		for _, kind := range model.Kinds() {
			names = append(names, string(kind))
		}
		l.exists(key+".record", "kind of record", string(f.Record), names)
	}
	if f.As == "" {
		l.bad(key+".as", "the flow does not say as what it uploads; write as: and a kind of upload such as contacts, orders or simple_orders")
	}
}

// second finds another active flow that sends the same (yandex-metrica §17.1).
// To different destinations that may be meant, to one it never is.
func (l *loader) second(key string, p *Project, i int) {
	f := &p.Flows[i]
	if f.Paused {
		return
	}
	for j := range i {
		other := &p.Flows[j]
		if other.Paused || other.Record != f.Record || other.As != f.As || f.As == "" {
			continue
		}
		for _, source := range f.From {
			if !slices.Contains(other.From, source) {
				continue
			}
			if other.To == f.To {
				l.bad(key, "the flow %s sends %s of %s to %s as %s already; set paused: true in one of the two", other.ID, f.Record, source, f.To, f.As)
			} else {
				l.warn(key, "the flow %s sends %s of %s as %s already, to %s; if that is not meant, set paused: true in one of the two", other.ID, f.Record, source, f.As, other.To)
			}
			return
		}
	}
}
