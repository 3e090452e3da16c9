package console

import (
	"fmt"
	"net/http"
	"strings"

	"github.com/svod-hub/svod/docs"
	"github.com/svod-hub/svod/model"
)

// causeText explains one cause.
type causeText struct {
	Code model.Cause
	Says string // what it means
	Do   string // what to do
}

// causeTexts are the pages docs/…/causes.md by language.
type causeTexts map[string][]causeText

// loadCauses reads the embedded pages; a test holds them to what is read here.
func loadCauses() causeTexts {
	all := causeTexts{}
	for _, code := range []string{"ru", "en"} {
		page, err := docs.Causes.ReadFile(code + "/causes.md")
		if err != nil {
			panic(fmt.Sprintf("the page of causes is not embedded: %v", err))
		}
		all[code] = parseCauses(string(page))
	}
	return all
}

// parseCauses takes the page apart: a heading for each cause, then a sentence
// that says what it is, then what to do.
func parseCauses(page string) []causeText {
	var list []causeText
	sections := strings.Split("\n"+page, "\n## ")
	for _, section := range sections[1:] {
		code, text, _ := strings.Cut(section, "\n")
		c := causeText{Code: model.Cause(strings.TrimSpace(code))}
		lines := strings.Split(strings.TrimSpace(text), "\n")
		for i, line := range lines {
			c.Says = strings.TrimSpace(c.Says + " " + line)
			if strings.HasSuffix(line, ".") {
				c.Do = strings.Join(strings.Fields(strings.Join(lines[i+1:], " ")), " ")
				break
			}
		}
		list = append(list, c)
	}
	return list
}

func (t causeTexts) find(language string, cause model.Cause) causeText {
	for _, c := range t[language] {
		if c.Code == cause {
			return c
		}
	}
	return causeText{Code: cause}
}

type causesData struct {
	Causes []causeText
}

// causesPage explains every cause; the addresses #CODE lead to one.
func (c *Console) causesPage(r *request) error {
	return r.render(http.StatusOK, "causes", "nav.causes", causesData{Causes: c.causes[r.language.Code]})
}

// Says gives the sentence of a cause in the page's language.
func (p *Page) Says(cause model.Cause) string {
	return strings.ReplaceAll(p.causes.find(p.Lang, cause).Says, "`", "")
}

// inline is a piece of a text: plain or code.
type inline struct {
	Text string
	Code bool
}

// Inline takes a text with `code` in it apart.
func (p *Page) Inline(text string) []inline {
	var list []inline
	for i, part := range strings.Split(text, "`") {
		if part != "" {
			list = append(list, inline{Text: part, Code: i%2 == 1})
		}
	}
	return list
}
