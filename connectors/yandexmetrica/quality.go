package yandexmetrica

// quality is how much of an upload Metrica could use (yandex-metrica §6.3, §7).
type quality struct {
	Source       int `json:"source"` // rows of the file
	Valid        int `json:"valid"`  // that passed Metrica's checks
	Linked       int `json:"linked"` // to visits
	NotFound     int `json:"not_found"`
	GoalNotFound int `json:"goal_not_found"`
	Static       int `json:"static"`
	Dynamic      int `json:"dynamic"`
}

// facts are what only the file tells of its rows.
type facts struct {
	Rows     int `json:"rows,omitempty"`
	Old      int `json:"old,omitempty"`       // beyond the window in which rows are linked
	NoClient int `json:"no_client,omitempty"` // without a ClientID
	Static   int `json:"static,omitempty"`
}

// Codes of advice. The console has words for each.
const (
	adviceAllStatic     = "all_static"            // only static calls, which are never linked: nothing is wrong
	adviceGoalMissing   = "goal_missing"          // targets that are no goals of the counter
	adviceNoClientID    = "no_client_id"          // rows without a ClientID link worse
	adviceNothingLinked = "nothing_linked"        // not one row found its visit
	adviceOld           = "older_than_21_days"    // rows that come too late to be linked
	adviceRowsDropped   = "rows_dropped"          // rows that Metrica did not take
	adviceUserNotFound  = "user_not_found"        // visitors whom the counter does not know
	adviceUnattributed  = "unattributed_chats"    // chats without a visitor: legal
	adviceNotApplied    = "not_confirmed"         // user parameters that are not applied yet
	adviceStillWorking  = "metrica_still_working" // numbers of linked rows are not final
)

// phase is where Metrica stands with an upload (§6.3, §9, §10).
type phase int

const (
	phaseWorking phase = iota
	phaseUnconfirmed
	phaseDone
	phaseUnlinked
)

// qualityOf reads the numbers of an answer.
func qualityOf(got fate, f facts) quality {
	q := quality{
		Source: got.Source.or(f.Rows), Linked: got.Linked.or(0), NotFound: got.UserNotFound.or(0),
		GoalNotFound: got.GoalNotFound.or(0), Static: got.Static.or(f.Static),
	}
	if q.Source == 0 {
		q.Source = f.Rows
	}
	q.Valid = got.Lines.or(q.Source)
	q.Dynamic = got.Dynamic.or(max(q.Valid-q.Static, 0))
	return q
}

// advise says what an operator should know about an upload. It is a pure function
// of its numbers.
func advise(as string, q quality, f facts, p phase) []string {
	advice := []string{}
	add := func(when bool, code string) {
		if when {
			advice = append(advice, code)
		}
	}
	final := p == phaseDone || p == phaseUnlinked
	allStatic := as == asCalls && q.Static > 0 && q.Dynamic == 0
	add(p == phaseUnconfirmed, adviceNotApplied)
	add(q.Valid < q.Source && as != asUserParams, adviceRowsDropped)
	add(q.GoalNotFound > 0, adviceGoalMissing)
	add(q.NotFound > 0, adviceUserNotFound)
	add(f.NoClient > 0 && !allStatic && as != asExpenses, adviceNoClientID)
	add(f.Old > 0, adviceOld)
	add(allStatic, adviceAllStatic)
	if p == phaseUnlinked && !allStatic {
		add(as == asChats, adviceUnattributed)
		add(as != asChats, adviceNothingLinked)
	}
	add(!final && p != phaseUnconfirmed, adviceStillWorking)
	return advice
}
