package sandbox

import (
	"fmt"
	"strings"
)

// Kinds of entities, as their names stand in method and event names.
const (
	Company = "company"
	Contact = "contact"
	Deal    = "deal"
	Lead    = "lead"
)

// entityTypes are the numbers of the universal methods (§7.1).
var entityTypes = map[string]string{"1": Lead, "2": Deal, "3": Contact, "4": Company}

func entityTypeID(kind string) int {
	return map[string]int{Lead: 1, Deal: 2, Contact: 3, Company: 4}[kind]
}

// field is one field of an entity under its two names.
type field struct {
	code     string // classic: ASSIGNED_BY_ID
	item     string // universal: assignedById
	typ      string // integer, string, datetime, date, double, char, crm_status…
	status   string // the directory behind a crm_status
	readonly bool
	label    string // of a custom field
	id       int    // of a custom field
	multiple bool
	choices  []choice
}

type choice struct{ id, value string }

// fieldTables are written by hand, not derived, so that a mistake in somebody's
// conversion of names shows. "CODE item type", "!" marks read-only ones.
var fieldTables = map[string]string{
	Lead: `ID id !integer;TITLE title string;HONORIFIC honorific crm_status;NAME name string;SECOND_NAME secondName string;
LAST_NAME lastName string;COMPANY_TITLE companyTitle string;COMPANY_ID companyId integer;CONTACT_ID contactId integer;
IS_RETURN_CUSTOMER isReturnCustomer !char;BIRTHDATE birthdate date;SOURCE_ID sourceId crm_status:SOURCE;
SOURCE_DESCRIPTION sourceDescription string;STATUS_ID stageId crm_status:STATUS;STATUS_DESCRIPTION statusDescription string;
POST post string;COMMENTS comments string;CURRENCY_ID currencyId string;OPPORTUNITY opportunity double;
IS_MANUAL_OPPORTUNITY isManualOpportunity char;HAS_PHONE hasPhone !char;HAS_EMAIL hasEmail !char;
ASSIGNED_BY_ID assignedById integer;CREATED_BY_ID createdBy !integer;MODIFY_BY_ID updatedBy !integer;
DATE_CREATE createdTime !datetime;DATE_MODIFY updatedTime !datetime;DATE_CLOSED dateClosed !datetime;
STATUS_SEMANTIC_ID stageSemanticId !string;OPENED opened char;ORIGINATOR_ID originatorId string;ORIGIN_ID originId string;
MOVED_BY_ID movedBy !integer;MOVED_TIME movedTime !datetime;`,
	Deal: `ID id !integer;TITLE title string;TYPE_ID typeId crm_status:DEAL_TYPE;CATEGORY_ID categoryId integer;STAGE_ID stageId crm_status:DEAL_STAGE;
STAGE_SEMANTIC_ID stageSemanticId !string;IS_NEW isNew !char;PROBABILITY probability integer;CURRENCY_ID currencyId string;
OPPORTUNITY opportunity double;IS_MANUAL_OPPORTUNITY isManualOpportunity char;TAX_VALUE taxValue double;LEAD_ID leadId integer;
COMPANY_ID companyId integer;CONTACT_ID contactId integer;CONTACT_IDS contactIds integer;BEGINDATE begindate date;CLOSEDATE closedate date;
ASSIGNED_BY_ID assignedById integer;CREATED_BY_ID createdBy !integer;MODIFY_BY_ID updatedBy !integer;
DATE_CREATE createdTime !datetime;DATE_MODIFY updatedTime !datetime;OPENED opened char;CLOSED closed !char;COMMENTS comments string;
IS_RETURN_CUSTOMER isReturnCustomer !char;SOURCE_ID sourceId crm_status:SOURCE;SOURCE_DESCRIPTION sourceDescription string;
ORIGINATOR_ID originatorId string;ORIGIN_ID originId string;MOVED_BY_ID movedBy !integer;MOVED_TIME movedTime !datetime;`,
	Contact: `ID id !integer;NAME name string;SECOND_NAME secondName string;LAST_NAME lastName string;POST post string;COMMENTS comments string;
HONORIFIC honorific crm_status;LEAD_ID leadId integer;TYPE_ID typeId crm_status:CONTACT_TYPE;SOURCE_ID sourceId crm_status:SOURCE;
SOURCE_DESCRIPTION sourceDescription string;COMPANY_ID companyId integer;BIRTHDATE birthdate date;HAS_PHONE hasPhone !char;
HAS_EMAIL hasEmail !char;DATE_CREATE createdTime !datetime;DATE_MODIFY updatedTime !datetime;ASSIGNED_BY_ID assignedById integer;
CREATED_BY_ID createdBy !integer;MODIFY_BY_ID updatedBy !integer;OPENED opened char;ORIGINATOR_ID originatorId string;
ORIGIN_ID originId string;`,
	Company: `ID id !integer;TITLE title string;COMPANY_TYPE typeId crm_status:COMPANY_TYPE;INDUSTRY industry crm_status:INDUSTRY;
COMMENTS comments string;LEAD_ID leadId integer;HAS_PHONE hasPhone !char;HAS_EMAIL hasEmail !char;REVENUE revenue double;
CURRENCY_ID currencyId string;DATE_CREATE createdTime !datetime;DATE_MODIFY updatedTime !datetime;ASSIGNED_BY_ID assignedById integer;
CREATED_BY_ID createdBy !integer;MODIFY_BY_ID updatedBy !integer;OPENED opened char;ORIGINATOR_ID originatorId string;
ORIGIN_ID originId string;`,
}

const utmFields = `UTM_SOURCE utmSource string;UTM_MEDIUM utmMedium string;UTM_CAMPAIGN utmCampaign string;
UTM_CONTENT utmContent string;UTM_TERM utmTerm string;`

func standardFields(kind string) []*field {
	var out []*field
	for entry := range strings.SplitSeq(strings.TrimSpace(fieldTables[kind]+utmFields), ";") {
		parts := strings.Fields(entry)
		if len(parts) != 3 {
			continue
		}
		f := &field{code: parts[0], item: parts[1], typ: parts[2]}
		if strings.HasPrefix(f.typ, "!") {
			f.readonly, f.typ = true, f.typ[1:]
		}
		f.typ, f.status, _ = strings.Cut(f.typ, ":")
		f.multiple = f.code == "CONTACT_IDS"
		out = append(out, f)
	}
	return out
}

// schema is what one kind of entity has.
type schema struct {
	list   []*field
	byCode map[string]*field
	byItem map[string]*field
}

func newSchema(kind string) *schema {
	s := &schema{byCode: map[string]*field{}, byItem: map[string]*field{}}
	for _, f := range standardFields(kind) {
		s.add(f)
	}
	return s
}

func (s *schema) add(f *field) {
	s.list = append(s.list, f)
	s.byCode[f.code] = f
	s.byItem[f.item] = f
}

// find takes either family's name; custom fields answer to both of theirs.
func (s *schema) find(name string) *field {
	if f := s.byCode[name]; f != nil {
		return f
	}
	return s.byItem[name]
}

// itemName is the universal methods' name of a custom field: UF_CRM_12_A
// becomes ufCrm_12A, and of one without digits behind the prefix ufCrmRoistat.
func itemName(code string) string {
	parts := strings.Split(strings.ToLower(code), "_")
	var b strings.Builder
	for i, part := range parts {
		switch {
		case part == "":
		case i == 0:
			b.WriteString(part)
		case part[0] >= '0' && part[0] <= '9':
			fmt.Fprintf(&b, "_%s", part)
		default:
			b.WriteString(strings.ToUpper(part[:1]) + part[1:])
		}
	}
	return b.String()
}
