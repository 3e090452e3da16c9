package sandbox

import (
	"cmp"
	"net/http"
	"strings"

	"github.com/shopspring/decimal"
)

const defaultProvider = "default"

// Expenses lists the expenses of a counter by key. The key begins with the
// provider.
func (s *Sandbox) Expenses(counter string) []Row { return s.Rows(counter, "expenses", 0) }

// uploadExpenses takes a file of expenses (§10).
func (s *Sandbox) uploadExpenses(w http.ResponseWriter, r *http.Request, c *counterState, fault *Fault) {
	defer s.begin(c, "expenses")()
	s.knownParameters(r, "provider", "comment")
	provider := cmp.Or(r.URL.Query().Get("provider"), defaultProvider)
	up := &ManagedUpload{Kind: "expenses", Type: "EXPENSES", Provider: provider, lists: []string{expensesList}}
	file, err := s.takeSheet(r, c, expensesSheet(), up, func(row sheetValues, kept *readRow) {
		kept.key = "provider=" + provider + ";" + kept.key
		kept.packed = pack(row.values) // removals and sums need them
		if strings.EqualFold(row.get("UTMSource"), "yandex") && strings.EqualFold(row.get("UTMMedium"), "cpc") {
			kept.marks |= directDuplicate
		}
	})
	if err != nil {
		s.refuseUpload(w, err)
		return
	}
	s.mu.Lock()
	s.storeExpenses(c, up, file, fault)
	shown := s.managedShown(up)
	s.mu.Unlock()
	s.reply(w, fault, map[string]any{"uploading": shown})
}

// storeExpenses makes an upload of the file. The caller holds s.mu.
func (s *Sandbox) storeExpenses(c *counterState, up *ManagedUpload, file *sheetFile, fault *Fault) {
	if fault != nil && fault.Name == FaultFewer && len(file.rows) > 0 {
		file.rows = file.rows[:len(file.rows)-1]
	}
	s.register(c, up, fault)
	up.Lines = len(file.rows)
	t, direct := c.sheets["expenses"], 0
	for _, row := range file.rows {
		kept, existed := t.rows[row.key]
		if existed {
			up.Repeated++
			if s.rules.Expenses == "add" {
				row.packed = addExpenses(t.sheet, kept.packed, row.packed)
			}
		}
		if row.marks&directDuplicate != 0 {
			direct++
		}
		t.rows[row.key] = storedRow{packed: row.packed, upload: up.ID, times: kept.times + 1, marks: row.marks}
	}
	if direct > 0 {
		s.violate("%d expenses are Yandex Direct's (yandex, cpc), which Metrica imports by itself: they count twice", direct)
	}
	if up.Repeated > 0 {
		s.violate("%d expenses were uploaded before and not removed: whether they add up or are replaced is not documented", up.Repeated)
	}
}

func addExpenses(sh *sheet, before, now string) string {
	old, sum := sh.unpack(before), sh.unpack(now)
	for _, name := range []string{"Expenses", "Clicks"} {
		a, errA := decimal.NewFromString(cmp.Or(old.get(name), "0"))
		b, errB := decimal.NewFromString(cmp.Or(sum.get(name), "0"))
		if errA == nil && errB == nil && sum.get(name) != "" {
			sum.values[sh.index(name)] = a.Add(b).String()
		}
	}
	return pack(sum.values)
}

// deleteExpenses takes a file of what is to be removed.
func (s *Sandbox) deleteExpenses(w http.ResponseWriter, r *http.Request, c *counterState, fault *Fault) {
	defer s.begin(c, "expenses")()
	s.knownParameters(r, "provider", "comment")
	up := &ManagedUpload{Kind: "expenses", Type: "REMOVES", Provider: r.URL.Query().Get("provider"), lists: []string{expensesList}}
	var removals []map[string]string
	_, err := s.takeSheet(r, c, removalsSheet(), up, func(row sheetValues, _ *readRow) { removals = append(removals, row.shown()) })
	if err != nil {
		s.refuseUpload(w, err)
		return
	}
	s.remove(w, c, up, removals, fault)
}

// deleteExpense removes by the query.
func (s *Sandbox) deleteExpense(w http.ResponseWriter, r *http.Request, c *counterState, fault *Fault) {
	s.knownParameters(r, "provider", "comment", "date", "UTMSource", "UTMMedium", "UTMCampaign", "UTMTerm", "UTMContent")
	q := r.URL.Query()
	comment, err := s.comment(r)
	if err == nil {
		if _, _, ok := dateRange(q.Get("date")); !ok {
			err = badRequest{"invalid_parameter", "date is neither yyyy-MM-dd nor a range"}
		}
	}
	if err != nil {
		s.refuseUpload(w, err)
		return
	}
	removal := map[string]string{"Date": q.Get("date")}
	for _, name := range expensesSheet().key[1:] {
		if v := q.Get(name); v != "" {
			removal[name] = v
		}
	}
	up := &ManagedUpload{Kind: "expenses", Type: "REMOVES", Provider: q.Get("provider"), Comment: comment, Source: 1, lists: []string{expensesList}}
	s.remove(w, c, up, []map[string]string{removal}, fault)
}

// remove deletes the expenses of the dates whose named columns are equal; without
// a provider those of all.
func (s *Sandbox) remove(w http.ResponseWriter, c *counterState, up *ManagedUpload, removals []map[string]string, fault *Fault) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.register(c, up, fault)
	t := c.sheets["expenses"]
	for key, kept := range t.rows {
		if up.Provider != "" && !strings.HasPrefix(key, "provider="+up.Provider+";") {
			continue
		}
		values := t.sheet.unpack(kept.packed)
		for _, removal := range removals {
			if removed(values, removal) {
				delete(t.rows, key)
				up.Lines++
				break
			}
		}
	}
	s.reply(w, fault, map[string]any{"uploading": s.managedShown(up)})
}

func removed(values sheetValues, removal map[string]string) bool {
	from, to, _ := dateRange(removal["Date"])
	first, last, _ := dateRange(values.get("Date"))
	if first < from || last > to {
		return false
	}
	for name, want := range removal {
		if name != "Date" && values.get(name) != want {
			return false
		}
	}
	return true
}
