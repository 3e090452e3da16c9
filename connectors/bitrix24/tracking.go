package bitrix24

import (
	"context"
	"encoding/json"
	"regexp"
	"slices"
	"strings"

	"github.com/svod-hub/svod/loosejson"
	"github.com/svod-hub/svod/model"
)

// trackingCodes are the codes of the fields that hold each member of
// model.Tracking, in order of preference.
type trackingCodes map[string][]string

// tracking is trackingCodes for each kind of entity.
type tracking map[model.Kind]trackingCodes

// trackingRules recognise fields by code or label. The first that matches wins.
var trackingRules = []struct {
	name string
	is   *regexp.Regexp
}{
	{"roistat", regexp.MustCompile(`(?i)roistat|ро[ий]стат`)},
	{"yclid", regexp.MustCompile(`(?i)yclid`)},
	{"gclid", regexp.MustCompile(`(?i)gclid`)},
	{"ga_client_id", regexp.MustCompile(`(?i)(^|_)ga$|ga[_ ]?client|ga[_ ]?cid|google.*client|client.*google`)},
	{"client_id", regexp.MustCompile(`(?i)ym[_ ]?uid|(ym|ya|yandex|metri[ck]a|метрик[а-яё]*|яндекс[а-яё]*)[_ ]*(client[_ ]?id|cid)|client[_ ]?id.*(metri[ck]a|метрик|яндекс)|(metri[ck]a|метрик|яндекс).*client|^(uf_crm_)?client[_ ]?id$`)},
}

// trackingName says which member a field is for, "" for none.
func trackingName(code, label string) string {
	for _, rule := range trackingRules {
		if rule.is.MatchString(code) || rule.is.MatchString(strings.TrimSpace(label)) {
			return rule.name
		}
	}
	return ""
}

// detectTracking finds the fields among all of a kind.
func detectTracking(defs []fieldDef) trackingCodes {
	out := trackingCodes{}
	for _, d := range defs {
		if !d.custom && !strings.HasPrefix(d.code, "UF_") {
			continue
		}
		if name := trackingName(d.code, d.name); name != "" && !slices.Contains(out[name], d.code) {
			out[name] = append(out[name], d.code)
		}
	}
	for _, codes := range out {
		slices.Sort(codes)
	}
	return out
}

// with puts the fields of the settings first.
func (t trackingCodes) with(settings map[string]string) trackingCodes {
	out := trackingCodes{}
	for name, codes := range t {
		out[name] = codes
	}
	for name, code := range settings {
		out[name] = append([]string{code}, out[name]...)
	}
	return out
}

// fill reads the tracking fields of a record out of its Fields.
func (t trackingCodes) fill(b *model.Base) {
	for name, codes := range t {
		value := ""
		for _, code := range codes {
			if value = strings.TrimSpace(first(b.Fields[code])); value != "" {
				break
			}
		}
		switch name {
		case "client_id":
			b.ClientID = value
		case "ga_client_id":
			b.GAClientID = value
		case "gclid":
			b.GCLID = value
		case "roistat":
			b.Roistat = value
		case "user_id":
			b.UserID = value
		case "yclid":
			b.YCLID = value
		}
	}
}

func first(v any) string {
	switch v := v.(type) {
	case string:
		return v
	case []string:
		if len(v) > 0 {
			return v[0]
		}
	}
	return ""
}

// memoryTracking keeps what was detected, so that not every read asks for the
// list of fields.
const memoryTracking = "tracking"

// trackingFields gives the fields to read tracking from. The first call asks the
// portal; after that every list of reference data renews the memory.
func (c *Connector) trackingFields(ctx context.Context) (tracking, error) {
	kept, err := c.deps.Memory.Recall(ctx, memoryTracking)
	if err != nil {
		return nil, err
	}
	var found tracking
	if kept == "" || loosejson.Unmarshal([]byte(kept), &found) != nil {
		defs, err := c.fieldDefs(ctx)
		if err != nil {
			return nil, err
		}
		if found, err = c.rememberTracking(ctx, defs); err != nil {
			return nil, err
		}
	}
	out := tracking{}
	for _, e := range entities {
		out[e.kind] = found[e.kind].with(c.cfg.Tracking)
	}
	return out, nil
}

func (c *Connector) rememberTracking(ctx context.Context, defs map[model.Kind][]fieldDef) (tracking, error) {
	found := tracking{}
	for kind, all := range defs {
		found[kind] = detectTracking(all)
	}
	data, err := json.Marshal(found)
	if err != nil {
		return nil, err
	}
	return found, c.deps.Memory.Remember(ctx, memoryTracking, string(data))
}
