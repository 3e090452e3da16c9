package sandbox

import (
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Rules are the parts of the protocol that are limits or are not known for sure.
type Rules struct {
	QuotaStatus    int    // 429 or 420 (§3.2)
	Parallel       int    // requests of one token at a time
	PerSecond      int    // requests
	PerDay         int    // requests of one login
	PerCounter     int    // requests to one counter in a day
	Reports        int    // requests of one login to /stat/v1 in five minutes
	ReportQuota    string // how the quota of reports is called, which is not documented
	MaxBytes       int64  // of one request
	MaxRows        int    // of one file
	MaxGoals       int    // of one counter
	OrdersPerUser  int    // orders of one client
	UnknownClient  string // "warn" or "fail": an order of a client that was never uploaded
	Company        bool   // client_type COMPANY is taken
	MergeStatuses  bool   // POST of statuses adds to the table instead of replacing it
	HideKinds      bool   // entity_subtype is left out
	ZonelessTimes  bool   // datetime is written without a zone, in the counter's
	OnlyOldOffsets bool   // datetime_offset is taken only as yyyy-MM-dd HH:mm:ss

	StatusStep     time.Duration // from one status of an upload to the next; 0: at once
	ListLag        time.Duration // until an upload stands in the lists
	BadRows        string        // "refuse": one bad row refuses its file; "drop": it is left out of line_quantity
	UnknownGoal    string        // "count" in goal_not_found_quantity, or "refuse" the file
	SameGoal       string        // a second goal of one identifier: "take" or "conflict" (409)
	Comment        string        // other than letters, digits, spaces, or above 255: "refuse", "warn" or "take"
	ParamsComment  bool          // uploads of user parameters keep the query's comment
	Visitors       string        // "auto": all are known until one is registered; "registered"
	Keep           string        // "all" of a row, or its "keys" only
	Expenses       string        // the same expense again: "replace" or "add" (§19)
	OneChat        bool          // chats are answered with {"uploading":{}} and not with a list (§8)
	HideQuantities bool          // the three quantities that some documents do not have (§6.3)
	BareToken      bool          // a new Measurement Protocol token is answered as a bare string (§13)
	ListOrder      string        // "newest" or "oldest" first, which is not documented
	ConfirmAnswer  string        // "upload": its object; "success": {"success":true}; neither is documented (§9)
	Sampled        bool          // reports without accuracy=full are sampled
}

// DefaultRules are the documented ones.
func DefaultRules() Rules {
	return Rules{
		QuotaStatus: http.StatusTooManyRequests, Parallel: 3, PerSecond: 30, PerDay: 5000, PerCounter: 5000,
		Reports: 200, ReportQuota: "quota_requests_by_uid",
		MaxBytes: 1 << 30, MaxRows: 1_000_000, MaxGoals: 200, OrdersPerUser: 100_000, UnknownClient: "warn", Company: true,
		StatusStep: time.Minute, BadRows: "refuse", UnknownGoal: "count", SameGoal: "take", Comment: "refuse", ParamsComment: true,
		Visitors: "auto", Keep: "all", Expenses: "replace", ListOrder: "newest", ConfirmAnswer: "upload",
	}
}

// SetRules changes the rules; change works on the present ones.
func (s *Sandbox) SetRules(change func(*Rules)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	change(&s.rules)
}

// option is a rule that can be set by name: in SandboxOptions.Options and on the
// page /__fake/rules.
type option struct {
	name   string
	values []string // empty: free
	get    func(*Rules) string
	set    func(*Rules, string) error
}

func choice(name string, field func(*Rules) *string, values ...string) option {
	return option{name: name, values: values,
		get: func(r *Rules) string { return *field(r) },
		set: func(r *Rules, v string) error { *field(r) = v; return nil },
	}
}

func whether(name string, field func(*Rules) *bool) option {
	return option{name: name, values: []string{"true", "false"},
		get: func(r *Rules) string { return strconv.FormatBool(*field(r)) },
		set: func(r *Rules, v string) error { *field(r) = v == "true"; return nil },
	}
}

func quantity(name string, field func(*Rules) *int, values ...string) option {
	return option{name: name, values: values,
		get: func(r *Rules) string { return strconv.Itoa(*field(r)) },
		set: func(r *Rules, v string) error {
			n, err := strconv.Atoi(v)
			if err != nil || n < 0 {
				return fmt.Errorf("%s %q is not a whole number from 0 on", name, v)
			}
			*field(r) = n
			return nil
		},
	}
}

func period(name string, field func(*Rules) *time.Duration) option {
	return option{name: name,
		get: func(r *Rules) string { return field(r).String() },
		set: func(r *Rules, v string) error {
			d, err := time.ParseDuration(v)
			if err != nil || d < 0 {
				return fmt.Errorf("%s %q is not a duration such as 1m or 500ms", name, v)
			}
			*field(r) = d
			return nil
		},
	}
}

func options() []option {
	return []option{
		quantity("quota_status", func(r *Rules) *int { return &r.QuotaStatus }, "420", "429"),
		quantity("parallel", func(r *Rules) *int { return &r.Parallel }),
		quantity("per_second", func(r *Rules) *int { return &r.PerSecond }),
		quantity("per_day", func(r *Rules) *int { return &r.PerDay }),
		quantity("per_counter", func(r *Rules) *int { return &r.PerCounter }),
		quantity("reports", func(r *Rules) *int { return &r.Reports }),
		quantity("max_rows", func(r *Rules) *int { return &r.MaxRows }),
		choice("unknown_client", func(r *Rules) *string { return &r.UnknownClient }, "warn", "fail"),
		whether("company", func(r *Rules) *bool { return &r.Company }),
		whether("merge_statuses", func(r *Rules) *bool { return &r.MergeStatuses }),
		period("status_step", func(r *Rules) *time.Duration { return &r.StatusStep }),
		period("list_lag", func(r *Rules) *time.Duration { return &r.ListLag }),
		choice("bad_rows", func(r *Rules) *string { return &r.BadRows }, "refuse", "drop"),
		choice("unknown_goal", func(r *Rules) *string { return &r.UnknownGoal }, "count", "refuse"),
		choice("same_goal", func(r *Rules) *string { return &r.SameGoal }, "take", "conflict"),
		choice("comment", func(r *Rules) *string { return &r.Comment }, "refuse", "warn", "take"),
		whether("params_comment", func(r *Rules) *bool { return &r.ParamsComment }),
		choice("visitors", func(r *Rules) *string { return &r.Visitors }, "auto", "registered"),
		choice("keep", func(r *Rules) *string { return &r.Keep }, "all", "keys"),
		choice("expenses", func(r *Rules) *string { return &r.Expenses }, "replace", "add"),
		choice("list_order", func(r *Rules) *string { return &r.ListOrder }, "newest", "oldest"),
		choice("confirm_answer", func(r *Rules) *string { return &r.ConfirmAnswer }, "upload", "success"),
		whether("one_chat", func(r *Rules) *bool { return &r.OneChat }),
		whether("hide_quantities", func(r *Rules) *bool { return &r.HideQuantities }),
		whether("bare_token", func(r *Rules) *bool { return &r.BareToken }),
		whether("sampled", func(r *Rules) *bool { return &r.Sampled }),
	}
}

// set changes one rule by its name.
func (r *Rules) set(name, value string) error {
	for _, o := range options() {
		if o.name != name {
			continue
		}
		if len(o.values) > 0 && !slices.Contains(o.values, value) {
			return fmt.Errorf("%s %q is none of %s", name, value, strings.Join(o.values, ", "))
		}
		return o.set(r, value)
	}
	return fmt.Errorf("the sandbox has no option %q", name)
}

// byName lists the rules that can be set by name.
func (r *Rules) byName() map[string]string {
	out := map[string]string{}
	for _, o := range options() {
		out[o.name] = o.get(r)
	}
	return out
}
