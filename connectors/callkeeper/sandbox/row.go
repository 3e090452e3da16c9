package sandbox

import "time"

// row is a call in the list. No value is ever null (§3.2).
type row struct {
	Page              int          `json:"page"`
	UniversalID       string       `json:"universalId"`
	ServiceType       string       `json:"serviceType"`
	ClientNumber      string       `json:"clientNumber"`
	ManagerNumber     string       `json:"managerNumber"`
	CallerIDToManager string       `json:"callerIdToManager"`
	CallerIDToClient  string       `json:"callerIdToClient"`
	StatusFirst       int          `json:"statusFirst"`
	StatusSecond      int          `json:"statusSecond"`
	Status            string       `json:"status"`
	CallTime          string       `json:"callTime"`
	LocalDate         string       `json:"localDate"`
	TimezoneOffset    string       `json:"timezoneOffset"`
	Duration          int          `json:"duration"`
	TariffTime        int          `json:"tariffTime"`
	Site              string       `json:"site"`
	RecordURL         string       `json:"recordUrl"`
	Unique            bool         `json:"unique"`
	Target            bool         `json:"target"`
	UniqueTarget      bool         `json:"uniqueTarget"`
	VisitSite         string       `json:"visitSite"`
	Referrer          string       `json:"referrer"`
	Source            string       `json:"utm_source"`
	Medium            string       `json:"utm_medium"`
	Campaign          string       `json:"utm_campaign"`
	Content           string       `json:"utm_content"`
	Term              string       `json:"utm_term"`
	YaClid            string       `json:"yaClid"`
	GaClid            string       `json:"gaClid"`
	RoistatClid       string       `json:"roistatClid"`
	CalltouchClid     string       `json:"calltouchClid"`
	ComagicClid       string       `json:"comagicClid"`
	City              string       `json:"city"`
	Region            string       `json:"region"`
	Country           string       `json:"country"`
	IPAddress         string       `json:"ipAddress"`
	PagesCount        int          `json:"pagesCount"`
	EntryPoint        string       `json:"entryPoint"`
	EntryPointQuery   string       `json:"entryPointQuery"`
	CallPage          string       `json:"callPage"`
	Counts            int          `json:"counts"`
	UserAgent         string       `json:"userAgent"`
	Device            string       `json:"device"`
	CbWidgetHash      string       `json:"cbWidgetHash"`
	CbToolID          int          `json:"cbToolId"`
	CbCallID          int          `json:"cbCallId"`
	CbUID             int          `json:"cbUid"`
	CbToolName        string       `json:"cbToolName"`
	CbOfficeNumber    string       `json:"cbOfficeNumber"`
	CbOfficeName      string       `json:"cbOfficeName"`
	CbOrderDate       string       `json:"cbOrderDate"`
	CbAttempt         int          `json:"cbAttempt"`
	CbAttemptsQueue   []int        `json:"cbAttemptsQueue"`
	CbConnectType     string       `json:"cbConnectType"`
	CbSmartCallCount  int          `json:"cbSmartCallCount"`
	CbIvrCount        int          `json:"cbIvrCount"`
	CbEventSource     string       `json:"cbEventSource"`
	CtCallID          int          `json:"ctCallId"`
	CtCampaignID      int          `json:"ctCampaignId"`
	CtCampaignName    string       `json:"ctCampaignName"`
	CtIsListened      string       `json:"ctIsListened"`
	Tags              []string     `json:"tags"`
	Hooks             []hookResult `json:"hooks"`
}

const callTime = "2006-01-02 15:04:05"

// row renders a call; the service's lock is held.
func (c *call) row(page int) row {
	first, second := c.codes()
	r := row{
		Page: page, UniversalID: c.universal, ServiceType: c.Service,
		ClientNumber: c.Client, ManagerNumber: c.Manager, CallerIDToManager: c.Client, CallerIDToClient: c.Number,
		StatusFirst: first, StatusSecond: second, Status: c.status(),
		CallTime: c.Started.UTC().Format(callTime), LocalDate: c.Started.UTC().Add(3 * time.Hour).Format(callTime),
		TimezoneOffset: "+0030", // as odd as the real one (§3.2)
		Duration:       c.Duration, TariffTime: (c.Duration + 59) / 60, Site: "shop.example.ru", RecordURL: c.Record,
		Unique: c.Unique, Target: c.Target, UniqueTarget: c.Unique && c.Target, VisitSite: "shop.example.ru",
		Source: c.Source, Medium: c.Medium, Campaign: c.Call.Campaign, Content: c.Content, Term: c.Term,
		YaClid: c.ClientID, GaClid: c.GAClientID, RoistatClid: c.Roistat,
		City: c.City, Country: "Россия", IPAddress: "127.0.0.1", PagesCount: 3, CallPage: c.Page, Counts: 1,
		CbAttemptsQueue: []int{}, Tags: append([]string{}, c.Tags...), Hooks: append([]hookResult{}, c.results...),
	}
	if c.Service == Callback {
		r.CbWidgetHash, r.CbToolID, r.CbCallID, r.CbUID = widgetHash, 1000, c.number, 1000
		r.CbToolName, r.CbOfficeNumber, r.CbOfficeName = "Виджет обратного звонка", "0", "Москва"
		r.CbOrderDate, r.CbAttempt, r.CbAttemptsQueue = r.CallTime, 1, []int{c.number}
		r.CbConnectType, r.CbEventSource = "auto", c.tool()
	} else {
		r.CtCallID, r.CtCampaignID, r.CtCampaignName, r.CtIsListened = c.number, 1000, "Весна", "0"
	}
	return r
}

func (c *call) codes() (first, second int) {
	if c.live {
		return 1, 0
	}
	return c.First, c.Second
}

func (c *call) status() string {
	if first, second := c.codes(); first == 200 && second == 200 {
		return "success"
	}
	return "fail"
}

func (c *call) tool() string {
	if c.Tool == "" {
		return "widget"
	}
	return c.Tool
}

const widgetHash = "0123456789abcdef0123456789abcdef"
