package sandbox

import (
	"net/http"
	"slices"
	"strings"
)

// serveManagement is /management/v1/…; path is what follows.
func (s *Sandbox) serveManagement(w http.ResponseWriter, r *http.Request, user *account, path []string, fault *Fault) {
	if r.Method == http.MethodGet && len(path) == 1 && path[0] == "counters" {
		s.listCounters(w, r, user)
		return
	}
	if len(path) < 2 || path[0] != "counter" {
		refuse(w, http.StatusNotFound, "not_found", "there is no such address")
		return
	}
	rest := path[2:]
	write := r.Method != http.MethodGet || slices.Equal(rest, []string{"measurement", "generate"})
	area := "metrika:offline_data"
	switch {
	case len(rest) > 0 && rest[0] == "user_params":
		area = "metrika:user_params"
	case len(rest) > 0 && rest[0] == "expense":
		area = "metrika:expenses"
	case write && (len(rest) == 0 || rest[0] != "offline_conversions"):
		area = "metrika:write"
	}
	c, ok := s.counterFor(w, user, path[1], write, area)
	if !ok {
		return
	}
	if len(rest) == 3 && strings.HasSuffix(rest[1], "uploading") || len(rest) == 4 && rest[1] == "uploading" {
		s.serveOneUpload(w, r, c, rest, fault)
		return
	}
	if len(rest) == 2 && rest[0] == "goal" {
		s.serveGoal(w, r, c, rest[1], fault)
		return
	}
	s.serveCounter(w, r, user, c, strings.Join(rest, "/"), fault)
}

func (s *Sandbox) serveCounter(w http.ResponseWriter, r *http.Request, user *account, c *counterState, rest string, fault *Fault) {
	switch r.Method + " " + rest {
	case "GET ":
		s.mu.Lock()
		defer s.mu.Unlock()
		s.reply(w, fault, map[string]any{"counter": c.shownWith(user.login, r.URL.Query().Get("field"))})
	case "PUT ":
		s.switchMeasurement(w, r, user, c, fault)
	case "GET goals", "POST goals":
		s.serveGoals(w, r, c, fault)
	case "GET measurement/generate":
		s.newToken(w, c, fault)
	case "POST measurement/delete":
		s.deleteToken(w, r, c, fault)
	case "POST offline_conversions/upload":
		s.uploadOffline(w, r, c, fault)
	case "POST offline_conversions/upload_calls":
		s.uploadSheet(w, r, c, callsSheet(), []string{callsList}, fault)
	case "GET " + offlineList, "GET " + callsList, "GET " + paramsList, "GET " + expensesList:
		s.listManaged(w, r, c, rest, fault)
	case "POST user_params/uploadings/upload":
		s.uploadParams(w, r, c, fault)
	case "POST expense/upload":
		s.uploadExpenses(w, r, c, fault)
	case "POST expense/delete":
		s.deleteExpenses(w, r, c, fault)
	case "POST expense/delete_single":
		s.deleteExpense(w, r, c, fault)
	default:
		refuse(w, http.StatusNotFound, "not_found", "there is no such address")
	}
}

// serveOneUpload is uploading/{id} of each list and what can be done with it.
func (s *Sandbox) serveOneUpload(w http.ResponseWriter, r *http.Request, c *counterState, rest []string, fault *Fault) {
	id := rest[2]
	switch list := rest[0] + "/" + rest[1] + "s"; {
	case len(rest) == 3 && r.Method == http.MethodGet:
		s.getManaged(w, c, list, id, fault)
	case list == paramsList && len(rest) == 3 && r.Method == http.MethodPut:
		s.editParams(w, r, c, id, fault)
	case list == paramsList && len(rest) == 4 && rest[3] == "confirm" && r.Method == http.MethodPost:
		s.confirmParams(w, r, c, id, fault)
	default:
		refuse(w, http.StatusNotFound, "not_found", "there is no such address")
	}
}
