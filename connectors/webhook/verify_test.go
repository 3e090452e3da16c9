package webhook

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/svod-hub/svod/connectors"
	"github.com/svod-hub/svod/model"
)

// The vector of webhook-security §3.1.
const (
	vectorSecret    = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
	vectorOther     = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD"
	vectorID        = "msg_p5jXN8AQM9LWM0D4loKWxJek"
	vectorTime      = "1614265330"
	vectorBody      = `{"test": 2432232314}`
	vectorSignature = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="
	vectorOthers    = "v1,78nXHjpFP0tVJQW5D0SBwmVyyW87BV/rL6MgfM/Bw44="
)

func TestStandardWebhooks(t *testing.T) {
	t.Parallel()
	at := time.Unix(1614265330, 0)
	for name, c := range map[string]struct {
		id, stamp, signature string
		prefix               string
		after                time.Duration
		body                 string
		ok                   bool
	}{
		"right":                          {ok: true},
		"the names of Svix":              {prefix: "svix-", ok: true},
		"the other live secret":          {signature: vectorOthers, ok: true},
		"several signatures":             {signature: "v1,AAAA v2,xyz v1a,abc " + vectorSignature, ok: true},
		"four minutes later":             {after: 4 * time.Minute, ok: true},
		"too old":                        {after: 6 * time.Minute},
		"from the future":                {after: -6 * time.Minute},
		"another body":                   {body: `{"test": 2432232315}`},
		"another id":                     {id: "msg_x"},
		"no id":                          {id: "-"},
		"no time":                        {stamp: "-"},
		"no signature":                   {signature: "-"},
		"milliseconds":                   {stamp: "1614265330000"},
		"time of letters":                {stamp: "yesterday"},
		"empty signature":                {signature: "v1,"},
		"no version":                     {signature: strings.TrimPrefix(vectorSignature, "v1,")},
		"wrong version":                  {signature: strings.Replace(vectorSignature, "v1", "v2", 1)},
		"behind twenty other signatures": {signature: strings.Repeat("v1,AAAA ", 20) + vectorSignature},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			con := newConnector(t, `
signature: {scheme: standard-webhooks, secret: "`+vectorSecret+`", old_secret: "`+vectorOther+`"}
records: [{kind: deal, map: {id: item.test}}]`)
			d := connectors.Delivery{ReceivedAt: at.Add(c.after), Method: "POST", Body: []byte(or(c.body, vectorBody)), Header: http.Header{}}
			prefix := or(c.prefix, "webhook-")
			for name, value := range map[string]string{"id": or(c.id, vectorID), "timestamp": or(c.stamp, vectorTime), "signature": or(c.signature, vectorSignature)} {
				if value != "-" {
					d.Header.Set(prefix+name, value)
				}
			}
			expect(t, con, d, c.ok)
		})
	}
}

func or(value, otherwise string) string {
	if value == "" {
		return otherwise
	}
	return value
}

func expect(t *testing.T, c *Connector, d connectors.Delivery, ok bool) {
	t.Helper()
	_, err := c.Receive(d)
	if ok && err != nil {
		t.Errorf("refused: %v", err)
	}
	if !ok && (err == nil || model.CauseOf(err) != model.CauseWrongToken) {
		t.Errorf("not refused as it should be: %v", err)
	}
}

func TestHMAC(t *testing.T) {
	t.Parallel()
	sum := func(text string) []byte {
		mac := hmac.New(sha256.New, []byte("Convoy"))
		mac.Write([]byte(text))
		return mac.Sum(nil)
	}
	const body = `{"a":1}`
	if got := hex.EncodeToString(sum("1700000000," + body)); got != "36ebda9e33df72358730b627eb55939f828e693cad3408b4a6ebe071867ac80c" {
		t.Fatalf("the vector of webhook-security §4.1 gives %s", got)
	}
	plain := `{signature: {scheme: hmac-sha256, secret: Convoy, header: X-Signature, prefix: "sha256="}, records: [{kind: deal, map: {id: item.a}}]}`
	timed := `{signature: {scheme: hmac-sha256, secret: Convoy, header: X-Signature, timestamp_header: X-Time}, records: [{kind: deal, map: {id: item.a}}]}`
	for name, c := range map[string]struct {
		settings, signature, stamp string
		ok                         bool
	}{
		"hex":                {plain, hex.EncodeToString(sum(body)), "", true},
		"upper case":         {plain, strings.ToUpper(hex.EncodeToString(sum(body))), "", true},
		"with its prefix":    {plain, "sha256=" + hex.EncodeToString(sum(body)), "", true},
		"base64":             {plain, base64.StdEncoding.EncodeToString(sum(body)), "", true},
		"missing":            {plain, "", "", false},
		"of something else":  {plain, hex.EncodeToString(sum("x")), "", false},
		"no hex":             {plain, "zz", "", false},
		"with time":          {timed, hex.EncodeToString(sum("1700000000." + body)), "1700000000", true},
		"with another time":  {timed, hex.EncodeToString(sum("1700000000." + body)), "1700000001", false},
		"with no time":       {timed, hex.EncodeToString(sum(body)), "", false},
		"with an older time": {timed, hex.EncodeToString(sum("1690000000." + body)), "1690000000", false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d := connectors.Delivery{ReceivedAt: time.Unix(1700000060, 0), Method: "POST", Body: []byte(body), Header: http.Header{}}
			if c.signature != "" {
				d.Header.Set("X-Signature", c.signature)
			}
			if c.stamp != "" {
				d.Header.Set("X-Time", c.stamp)
			}
			expect(t, newConnector(t, c.settings), d, c.ok)
		})
	}
}

func TestToken(t *testing.T) {
	t.Parallel()
	const records = `records: [{kind: deal, map: {id: item.a}}]`
	both := `{token: {header: x-token, query: key, value: s3cret}, ` + records + `}`
	for name, c := range map[string]struct {
		settings, header, query string
		ok                      bool
	}{
		"in the header":      {both, "s3cret", "", true},
		"in the query":       {both, "", "a=1&key=s3cret", true},
		"nowhere":            {both, "", "", false},
		"wrong":              {both, "s3cre", "key=S3cret", false},
		"wrong place":        {`{token: {query: key, value: s3cret}, ` + records + `}`, "s3cret", "", false},
		"no token is wanted": {`{` + records + `}`, "", "", true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d := connectors.Delivery{ReceivedAt: received, Method: "POST", Query: c.query, Body: []byte(`{"a":1}`), Header: http.Header{}}
			if c.header != "" {
				d.Header.Set("X-Token", c.header)
			}
			expect(t, newConnector(t, c.settings), d, c.ok)
		})
	}
}
