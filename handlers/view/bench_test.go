package view_test

import (
	"strings"
	"testing"

	"github.com/svod-hub/svod/handlers/view"
)

func BenchmarkBody(b *testing.B) {
	body := []byte("[" + strings.Repeat(`{"id":1,"name":"Иван","token":"abc","list":["a","b"]},`, 20_000) + "1]")
	b.SetBytes(int64(len(body)))
	for b.Loop() {
		view.NewBody(body)
	}
}
