package amocrm

import (
	"strings"

	"github.com/shopspring/decimal"

	"github.com/svod-hub/svod/identity"
	"github.com/svod-hub/svod/model"
)

var one = decimal.NewFromInt(1)

// trackingCodes are the predefined codes of tracking fields, in upper case, by
// the names of `tracking`. Only three of them are confirmed by captures
// (amocrm §7.2); a connection's own settings win.
var trackingCodes = map[string]string{
	"GCLID": "gclid", "GCLIENTID": "ga_client_id", "ROISTAT": "roistat", "YCLID": "yclid",
	"UTM_CAMPAIGN": "utm_campaign", "UTM_CONTENT": "utm_content", "UTM_MEDIUM": "utm_medium",
	"UTM_SOURCE": "utm_source", "UTM_TERM": "utm_term", "_YM_UID": "client_id", "YM_UID": "client_id",
}

// track puts a field's value where it belongs, if it is a tracking field.
func (m *mapper) track(t *model.Tracking, f *fieldValues, value string) {
	configured := false
	for name, field := range m.tracking {
		if field == string(f.ID) || strings.EqualFold(field, string(f.Code)) && f.Code != "" || strings.EqualFold(field, string(f.Name)) {
			configured = true
			setTracking(t, name, value, true)
		}
	}
	if configured || f.Type != "" && f.Type != "tracking_data" {
		return
	}
	name := trackingCodes[strings.ToUpper(string(f.Code))]
	if _, elsewhere := m.tracking[name]; !elsewhere {
		setTracking(t, name, value, false)
	}
}

// setTracking writes one member. A detected ClientID must look like one: an
// account was seen to keep order numbers in _YM_UID (amocrm §3.5). The raw text
// stays in Fields anyway.
func setTracking(t *model.Tracking, name, value string, configured bool) {
	switch name {
	case "client_id":
		if id, ok := identity.ClientID(value); ok && (configured || len(id) >= 16) {
			t.ClientID = id
		}
	case "ga_client_id":
		t.GAClientID = value
	case "gclid":
		t.GCLID = value
	case "roistat":
		t.Roistat = value
	case "user_id":
		t.UserID = value
	case "utm_campaign":
		t.UTM.Campaign = value
	case "utm_content":
		t.UTM.Content = value
	case "utm_medium":
		t.UTM.Medium = value
	case "utm_source":
		t.UTM.Source = value
	case "utm_term":
		t.UTM.Term = value
	case "yclid":
		t.YCLID = value
	}
}
