package jobs_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/svod-hub/svod/jobs"
	"github.com/svod-hub/svod/model"
)

// BenchmarkDeliver takes 100,000 changed contacts from the feed to an upload's
// body: fan-out, evaluation, encoding, and the notes in the database.
func BenchmarkDeliver(b *testing.B) {
	const n = 100_000
	for b.Loop() {
		b.StopTimer()
		t := setup(b)
		var records []model.Record
		for i := range n {
			c := t.contact(fmt.Sprint(i), "Анна Каренина")
			c.Phones, c.Emails = []string{fmt.Sprintf("7900%07d", i)}, []string{fmt.Sprintf("client%d@example.ru", i)}
			c.Connection = "b24"
			records = append(records, c)
			if len(records) == 1000 {
				if _, err := t.db.ApplyRecords(b.Context(), "shop", records); err != nil {
					b.Fatal(err)
				}
				records = records[:0]
			}
		}
		b.StartTimer()
		for t.metrica.count("contacts") < n {
			if err := t.engine.Do(b.Context(), jobs.Work{Kind: jobs.WorkDeliver, Project: "shop", Subject: "clients"}); err != nil {
				b.Fatal(err)
			}
			t.advance(time.Second)
		}
	}
	b.ReportMetric(float64(n)*float64(b.N)/b.Elapsed().Seconds(), "rows/s")
}
