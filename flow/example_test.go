package flow_test

import (
	"fmt"
	"time"

	"github.com/shopspring/decimal"

	"github.com/svod-hub/svod/flow"
	"github.com/svod-hub/svod/model"
)

func ExampleCompile() {
	spec := model.FlowSpec{
		ID: "orders", From: []string{"b24"}, Record: model.KindDeal, To: "metrica", As: "orders",
		When: `deal.amount > 0 && deal.pipeline_id == "0"`,
		Map: map[string]string{
			"id":               `deal.id`,
			"client_uniq_id":   `contact.id`,
			"create_date_time": `deal.created_at`,
			"order_status":     `status`,
			"revenue":          `deal.amount - deal.cost`,
			"user_comment":     `coalesce(deal.fields["Комментарий"], deal.title)`,
		},
		Statuses: []model.StatusPair{{CRM: "WON", ID: "003", Metrica: "PAID"}},
	}
	f, problems := flow.Compile(spec, orders(), flow.Project{ID: "shop", Zone: time.UTC, Currency: "RUB"})
	fmt.Println("problems:", len(problems))

	deal := &model.Deal{
		Base:   model.Base{Kind: model.KindDeal, Connection: "b24", ID: "7", CreatedAt: noon, Links: model.Links{ContactID: "45"}},
		Title:  "Стулья",
		Amount: model.NewDecimal(decimal.RequireFromString("100.50")), PipelineID: "0", StatusID: "WON",
	}
	row, verdict := f.Row(deal, flow.Relations{}, nil)
	fmt.Println(verdict.Outcome, row.Key, "needs", row.Needs)
	for i, column := range f.Columns() {
		fmt.Println(column.Name, row.Values[i])
	}
	deal.StatusID = "APOLOGY"
	_, verdict = f.Row(deal, flow.Relations{}, nil)
	fmt.Println(verdict.Outcome, verdict.Cause, verdict.Message)

	// Output:
	// problems: 0
	// send 7 needs 45
	// id 7
	// client_uniq_id 45
	// client_type CONTACT
	// create_date_time 2026-03-04 09:00:00 +0000 UTC
	// order_status 003
	// revenue 100.5
	// user_comment Стулья
	// refuse status_unmapped status APOLOGY of pipeline 0 has no pair in statuses; add one and send the row again
}
