package yandexmetrica

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/svod-hub/svod/connectors"
	"github.com/svod-hub/svod/model"
)

// flowOptions are what a flow may say besides its map.
type flowOptions struct {
	phone       string // full, cut, masked
	skipStatic  bool
	target      string
	newGoalName string
	price       model.Decimal
	priceBy     map[string]model.Decimal
	provider    string
	replace     string // no, rows, days
	sendDirect  bool
	action      string // update, delete_keys
	wide        bool
	eventType   string
	repeat      bool // events in doubt go again
}

// Ways to write a caller's number. Others leave its last two digits out; how is
// not known (yandex-metrica §17.3, §19.13).
const (
	phoneFull    = "full"
	phoneCut     = "cut"
	phoneMasked  = "masked"
	hiddenDigits = 2
)

// Ways to make room for expenses that are sent again (§10).
const (
	replaceNo   = "no"
	replaceRows = "rows"
	replaceDays = "days"
)

const defaultProvider = "svod"

// option reads one key of a flow's options.
type option struct {
	key  string
	as   []string
	read func(*flowOptions, string) error
}

func oneOf(into func(*flowOptions, string), allowed ...string) func(*flowOptions, string) error {
	return func(o *flowOptions, v string) error {
		if !slices.Contains(allowed, v) {
			return fmt.Errorf("%.40q is none of %s", v, strings.Join(allowed, ", "))
		}
		into(o, v)
		return nil
	}
}

func knownOptions() []option {
	return []option{
		{"phone", []string{asCalls}, oneOf(func(o *flowOptions, v string) { o.phone = v }, phoneFull, phoneCut, phoneMasked)},
		{"static", []string{asCalls}, oneOf(func(o *flowOptions, v string) { o.skipStatic = v == "skip" }, "send", "skip")},
		{"new_goal_name", []string{asCalls}, readGoalName},
		{"target", []string{asConversions}, readTarget},
		{"price", []string{asConversions, asCalls}, readPrice},
		{"price_by", []string{asConversions, asCalls}, readPriceBy},
		{"provider", []string{asExpenses}, readProvider},
		{"replace", []string{asExpenses}, readReplace},
		{"direct", []string{asExpenses}, oneOf(func(o *flowOptions, v string) { o.sendDirect = v == "send" }, "refuse", "send")},
		{"action", []string{asUserParams}, oneOf(func(o *flowOptions, v string) { o.action = v }, "update", "delete_keys")},
		{"layout", []string{asUserParams}, oneOf(func(o *flowOptions, v string) { o.wide = v == "wide" }, "long", "wide")},
		{"type", []string{asEvents}, oneOf(func(o *flowOptions, v string) { o.eventType = v }, "event", "pageview")},
		{"target", []string{asEvents}, readTarget},
		{"in_doubt", []string{asEvents}, oneOf(func(o *flowOptions, v string) { o.repeat = v == "repeat" }, "drop", "repeat")},
	}
}

// readOptions reads a flow's options with their defaults; every mistake begins
// with its key.
func readOptions(as string, given map[string]string) (flowOptions, []error) {
	o := flowOptions{phone: phoneFull, provider: defaultProvider, replace: replaceNo, action: "update", eventType: "event"}
	var errs []error
	known := knownOptions()
	for _, key := range slices.Sorted(maps.Keys(given)) {
		i := slices.IndexFunc(known, func(k option) bool { return k.key == key && slices.Contains(k.as, as) })
		if i < 0 {
			errs = append(errs, fmt.Errorf("options.%s: %s have no such option; %s", key, as, optionsOf(as)))
			continue
		}
		if err := known[i].read(&o, strings.TrimSpace(given[key])); err != nil {
			errs = append(errs, fmt.Errorf("options.%s: %w", key, err))
		}
	}
	return o, errs
}

func optionsOf(as string) string {
	var names []string
	for _, k := range knownOptions() {
		if slices.Contains(k.as, as) {
			names = append(names, k.key)
		}
	}
	if len(names) == 0 {
		return "remove it"
	}
	return "there are " + strings.Join(names, ", ")
}

func readGoalName(o *flowOptions, v string) error {
	if n := len([]rune(v)); n == 0 || n > 255 {
		return fmt.Errorf("a goal's name has 1 to 255 characters")
	}
	o.newGoalName = v
	return nil
}

func readTarget(o *flowOptions, v string) error {
	if !targetLike(v) {
		return fmt.Errorf("%.80q is not an identifier of a JavaScript goal", v)
	}
	o.target = v
	return nil
}

func readPrice(o *flowOptions, v string) error {
	price, err := model.ParseDecimal(v)
	if err != nil || !price.Set || price.IsNegative() {
		return fmt.Errorf("%.40q is not a price", v)
	}
	o.price = price
	return nil
}

// readPriceBy reads "target call=1500, spam=0".
func readPriceBy(o *flowOptions, v string) error {
	o.priceBy = map[string]model.Decimal{}
	for pair := range strings.SplitSeq(v, ",") {
		name, amount, ok := strings.Cut(pair, "=")
		name = strings.TrimSpace(name)
		price, err := model.ParseDecimal(strings.TrimSpace(amount))
		if !ok || name == "" || err != nil || !price.Set || price.IsNegative() {
			return fmt.Errorf("%.60q is not name=price, with commas between pairs", strings.TrimSpace(pair))
		}
		o.priceBy[name] = price
	}
	return nil
}

func readProvider(o *flowOptions, v string) error {
	if v == "" || len(v) > 255 || strings.ContainsAny(v, "\r\n\t") {
		return fmt.Errorf("a provider's name has 1 to 255 characters")
	}
	o.provider = v
	return nil
}

func readReplace(o *flowOptions, v string) error {
	switch v {
	case "false", replaceNo:
		o.replace = replaceNo
	case "true", replaceRows:
		o.replace = replaceRows
	case replaceDays:
		o.replace = replaceDays
	default:
		return fmt.Errorf("%.40q is none of no, rows (or true), days", v)
	}
	return nil
}

// prices reports whether the options may give a row its price.
func (o flowOptions) prices() bool { return o.price.Set || len(o.priceBy) > 0 }

// priceOf is the price of a row whose own is empty. Names may be a list, as tags
// are: the first that has a price counts.
func (o flowOptions) priceOf(names string) model.Decimal {
	if p, ok := o.priceBy[names]; ok {
		return p
	}
	for name := range strings.SplitSeq(names, ",") {
		if p, ok := o.priceBy[strings.TrimSpace(name)]; ok {
			return p
		}
	}
	return o.price
}

// CheckFlow implements connectors.FlowChecker.
func (c *Connector) CheckFlow(u connectors.Upload) []error {
	options, errs := readOptions(u.As, u.Options)
	mapped := func(name string) bool {
		return slices.ContainsFunc(u.Columns, func(col model.Column) bool { return col.Name == name })
	}
	switch u.As {
	case asConversions:
		if !mapped("Target") && options.target == "" {
			errs = append(errs, errNoTarget)
		}
	case asExpenses:
		if !mapped("UTMSource") && !mapped("TrafficSource") {
			errs = append(errs, errNoSource)
		}
	case asEvents:
		if c.MS == "" {
			errs = append(errs, errNoMS)
		}
	}
	return errs
}
