package bitrix24

import (
	"encoding/json"
	"fmt"
	"testing"

	"github.com/svod-hub/svod/connectors/bitrix24/sandbox"
	"github.com/svod-hub/svod/model"
)

// BenchmarkFetch reads 2500 deals in one call of the sandbox; the sandbox's own
// work is part of it.
func BenchmarkFetch(b *testing.B) {
	r := newRig(b, rigOptions{sandbox: map[string]string{"limit_scale": "0", "operating_cost": "0"}})
	var refs []model.Ref
	for i := range 2500 {
		refs = append(refs, refsTo(model.KindDeal, r.portal.AddDeal(sandbox.Fields{"TITLE": fmt.Sprint("Заказ ", i), "UTM_SOURCE": "yandex"}))...)
	}
	b.ReportAllocs()
	for b.Loop() {
		got, err := r.Fetch(b.Context(), refs)
		if err != nil || len(got.Records) != 2500 {
			b.Fatal(len(got.Records), err)
		}
	}
}

func BenchmarkMapDeal(b *testing.B) {
	var a answer
	if err := json.Unmarshal(sample(b, "rest-crm-deal-get-doc.json"), &a); err != nil {
		b.Fatal(err)
	}
	m := testMapper(b, model.KindDeal)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := m.record(a.Result); err != nil {
			b.Fatal(err)
		}
	}
}
