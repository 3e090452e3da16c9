package console

import (
	"net/http"
	"slices"
	"strconv"
	"strings"

	"github.com/svod-hub/svod/model"
	"github.com/svod-hub/svod/store"
)

// group is the refused rows of one cause.
type group struct {
	Cause model.Cause
	Count int
}

// rowCauses are the causes that rows are refused for, the frequent ones first:
// counting stops when all refused rows are found.
var rowCauses = []model.Cause{
	model.CauseRefusedByRemote, model.CauseNoIdentifier, model.CauseStatusUnmapped, model.CauseMissingRequired,
	model.CauseBadValue, model.CauseContactNotSent, model.CauseUploadRejected, model.CauseCurrency, model.CauseExpression,
}

// refusedGroups counts the refused rows of a flow, or of all flows, by cause.
func (c *Console) refusedGroups(r *request, flow string) ([]group, error) {
	ctx := r.Request().Context()
	total := 0
	for _, id := range r.project.FlowIDs() {
		if flow != "" && id != flow {
			continue
		}
		counts, err := c.opts.Store.FlowCounts(ctx, r.project.ID, id)
		if err != nil {
			return nil, err
		}
		total += counts.Refused
	}
	causes := slices.Clone(rowCauses)
	for _, cause := range model.Causes() {
		if !slices.Contains(rowCauses, cause) {
			causes = append(causes, cause)
		}
	}
	var groups []group
	for _, cause := range causes {
		if total <= 0 {
			break
		}
		n, err := c.opts.Actions.Resend(ctx, store.DeliveryFilter{
			Project: r.project.ID, Flow: flow, States: []store.DeliveryState{store.DeliveryRefused}, Cause: cause,
		}, true)
		if err != nil {
			return nil, err
		}
		if n > 0 {
			groups = append(groups, group{Cause: cause, Count: n})
			total -= n
		}
	}
	return groups, nil
}

type deliveriesData struct {
	Fields     *fields
	State      string
	Groups     []group
	Deliveries []store.Delivery
	More       string
	Hidden     []pair
}

// deliveries lists rows and what became of them; without a filter those that
// were refused.
func (c *Console) deliveries(r *request) error {
	query := r.QueryParams()
	if !query.Has("state") && !query.Has("upload") {
		query.Set("state", "refused")
	}
	f := newFields(query, r.project.ZoneOrUTC())
	filter := f.deliveries(r.project.ID)
	filter.Limit = pageSize
	filter.AfterFlow, filter.AfterID = f.Get("after_flow"), model.Key{Connection: f.Get("after_connection"), ID: f.Get("after")}
	list, err := c.opts.Store.Deliveries(r.Request().Context(), filter)
	if err != nil {
		return err
	}
	data := deliveriesData{Fields: f, State: f.Get("state"), Deliveries: list, Hidden: f.hidden(deliveryFields)}
	if data.State == "refused" {
		if data.Groups, err = c.refusedGroups(r, filter.Flow); err != nil {
			return err
		}
	}
	if len(list) == pageSize {
		last := list[len(list)-1]
		// An empty state is a choice too: without it the list is of refused rows.
		data.More = r.at("/deliveries?" + f.with(deliveryFields, "state", data.State,
			"after_flow", last.Flow, "after_connection", last.Connection, "after", last.ID))
	}
	return r.render(http.StatusOK, "deliveries", "nav.deliveries", data)
}

// resend makes one row due again at once, or all that match after asking.
func (c *Console) resend(r *request) error {
	ctx := r.Request().Context()
	f := newFields(r.Request().PostForm, r.project.ZoneOrUTC())
	filter := f.deliveries(r.project.ID)
	if len(f.Wrong) > 0 || (len(filter.States) == 0 && len(filter.IDs) == 0 && filter.UploadID == 0) {
		return &refusal{status: http.StatusBadRequest, key: "error.filter"}
	}
	back := r.at("/deliveries?" + f.with([]string{"flow", "state", "cause", "since", "until", "text", "upload"}))
	confirmed := r.FormValue("confirmed") != "" || len(filter.IDs) > 0
	if confirmed && len(filter.IDs) == 0 {
		n, err := c.opts.Actions.Resend(ctx, filter, true)
		if err != nil {
			return c.refused(r, err)
		}
		if n > atOnce {
			return c.begin(r, &store.Errand{Flow: filter.Flow, Action: store.ErrandResend, Rows: filter, Total: n}, f.with(deliveryFields))
		}
	}
	n, err := c.opts.Actions.Resend(ctx, filter, !confirmed)
	if err != nil {
		return c.refused(r, err)
	}
	if !confirmed {
		return r.confirm(confirmData{
			Question: r.language.text("confirm.resend", n), Nothing: n == 0,
			Fields: f.hidden(deliveryFields), Action: r.at("/deliveries/resend"), Back: back,
		})
	}
	r.note("resend", f.with(deliveryFields))
	return r.done(back, "resend", strconv.Itoa(n))
}

// resendPicked makes the rows due again whose boxes were ticked, after asking.
func (c *Console) resendPicked(r *request) error {
	picked := r.Request().PostForm["row"]
	byFlow := map[string][]string{}
	data := confirmData{Action: r.at("/deliveries/picked"), Back: r.at("/deliveries"), Nothing: len(picked) == 0}
	for _, row := range picked[:min(len(picked), pageSize)] {
		flow, id, ok := strings.Cut(row, "/")
		if _, known := r.project.Flow(flow); !ok || !known || id == "" {
			return &refusal{status: http.StatusBadRequest, key: "error.filter"}
		}
		byFlow[flow] = append(byFlow[flow], id)
		data.Fields = append(data.Fields, pair{Name: "row", Value: row})
	}
	confirmed, total := r.FormValue("confirmed") != "", 0
	for flow, ids := range byFlow {
		n, err := c.opts.Actions.Resend(r.Request().Context(), store.DeliveryFilter{Project: r.project.ID, Flow: flow, IDs: ids}, !confirmed)
		if err != nil {
			return c.refused(r, err)
		}
		total += n
	}
	if !confirmed {
		data.Question, data.Nothing = r.language.text("confirm.resend", total), total == 0
		return r.confirm(data)
	}
	r.note("resend", strings.Join(picked[:min(len(picked), pageSize)], " "))
	return r.done(r.at("/deliveries?state="), "resend", strconv.Itoa(total))
}
