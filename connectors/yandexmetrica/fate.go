package yandexmetrica

import (
	"encoding/json"
	"fmt"
	"strings"

	"github.com/svod-hub/svod/connectors"
)

// fate is what Metrica says of an upload of the management interface: one shape
// for all kinds, of which each fills its part (yandex-metrica §6.3, §7 to §10).
type fate struct {
	ID           text   `json:"id"`
	Created      text   `json:"create_time"`
	Source       *count `json:"source_quantity"`
	Lines        *count `json:"line_quantity"`
	Comment      text   `json:"comment"`
	Type         text   `json:"type"`
	Status       text   `json:"status"`
	Provider     text   `json:"provider"`
	GoalNotFound *count `json:"goal_not_found_quantity"`
	UserNotFound *count `json:"user_not_found_quantity"`
	Linked       *count `json:"linked_quantity"`
	Static       *count `json:"static_calls_quantity"`
	Dynamic      *count `json:"dynamic_calls_quantity"`
}

// or gives the count, or other when the answer has none.
func (c *count) or(other int) int {
	if c == nil {
		return other
	}
	return int(*c)
}

// readFate reads the answer to an upload. That of chats is printed as a list
// (§8). raw is the object as it came.
func readFate(body []byte) (got fate, raw json.RawMessage, ok bool) {
	var one struct {
		Uploading  json.RawMessage   `json:"uploading"`
		Uploadings []json.RawMessage `json:"uploadings"`
	}
	if json.Unmarshal(body, &one) != nil {
		return fate{}, nil, false
	}
	raw = one.Uploading
	if len(raw) == 0 && len(one.Uploadings) > 0 {
		raw = one.Uploadings[0]
	}
	if len(raw) == 0 || json.Unmarshal(raw, &got) != nil || got.ID == "" {
		return fate{}, nil, false
	}
	return got, raw, true
}

// phase reads the status, whose case varies by resource (§18). A word that we do
// not know means that Metrica is still at work.
func (f fate) phase(as string) phase {
	switch strings.ToUpper(string(f.Status)) {
	case "PROCESSED":
		return phaseDone
	case "LINKAGE_FAILURE":
		return phaseUnlinked
	case "IS_PROCESSED", "CONFIRMED":
		return phaseWorking
	}
	if as == asUserParams {
		return phaseUnconfirmed
	}
	return phaseWorking
}

// judgeFate says what an upload came to. As an answer to Send nothing is rejected
// any more, since Metrica has the file and would get it again.
func judgeFate(as string, got fate, rows int, f facts) connectors.Outcome {
	p := got.phase(as)
	q := qualityOf(got, f)
	out := connectors.Outcome{State: connectors.UploadProcessing, RemoteID: string(got.ID), Accepted: rows}
	if q.Valid < q.Source && as != asUserParams {
		out.Accepted = max(0, min(rows, q.Valid))
		out.Reasons = append(out.Reasons, fmt.Sprintf("Metrica took %d of %d rows and does not say which it dropped", q.Valid, q.Source))
	}
	advice := advise(as, q, f, p)
	switch {
	case p == phaseDone:
		out.State = connectors.UploadAccepted
	case p == phaseUnlinked && (as == asChats || allStatic(advice)):
		// Both are in the reports although nothing is linked (§7, §8).
		out.State = connectors.UploadAccepted
	case p == phaseUnlinked:
		out.State = connectors.UploadRejected
		out.Reasons = append(out.Reasons, "LINKAGE_FAILURE: not one row could be linked to a visit; check where the ClientIDs come from, and that the visits are not older than 21 days")
	}
	out.Details = fateDetails(got, q, advice, out.Reasons)
	return out
}

func allStatic(advice []string) bool {
	for _, a := range advice {
		if a == adviceAllStatic {
			return true
		}
	}
	return false
}

// taken is the outcome of a file that Metrica surely has: what it thinks of it is
// for Follow to conclude.
func taken(out connectors.Outcome) connectors.Outcome {
	if out.State == connectors.UploadRejected {
		out.State = connectors.UploadProcessing
	}
	return out
}

func fateDetails(got fate, q quality, advice, notes []string) []byte {
	type shown struct {
		ID       string `json:"id,omitempty"`
		Created  string `json:"create_time,omitempty"`
		Status   string `json:"status,omitempty"`
		Type     string `json:"type,omitempty"`
		Comment  string `json:"comment,omitempty"`
		Provider string `json:"provider,omitempty"`
		Source   *count `json:"source_quantity,omitempty"`
		Lines    *count `json:"line_quantity,omitempty"`
	}
	data, err := json.Marshal(struct {
		Uploading shown    `json:"uploading"`
		Quality   quality  `json:"quality"`
		Advice    []string `json:"advice"`
		Notes     []string `json:"notes,omitempty"`
	}{
		shown{redactID(string(got.ID)), redact(string(got.Created)), redact(string(got.Status)), redact(string(got.Type)),
			redact(string(got.Comment)), redact(string(got.Provider)), got.Source, got.Lines},
		q, advice, notes,
	})
	if err != nil {
		return nil
	}
	return data
}
