package roistat

import (
	"cmp"
	"context"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/svod-hub/svod/model"
)

// allClientsFrom is the number of orders from which on all clients are listed,
// rather than those that the orders point to: naming too many does no harm, and
// finding out takes longer than the answer.
const allClientsFrom = 100000

// client is a contact (roistat §2.5).
type client struct {
	ID        string `json:"id"`
	Name      string `json:"name"`
	Phone     string `json:"phone"`
	Email     string `json:"email"`
	Company   string `json:"company,omitempty"`
	BirthDate string `json:"birth_date,omitempty"`
}

type clientsAnswer struct {
	Clients    []client   `json:"clients"`
	Pagination pagination `json:"pagination"`
}

func (c *call) exportClients(ctx context.Context) (any, string, error) {
	since, err := c.params.since(c.now, c.window)
	if err != nil {
		return nil, "", err
	}
	p, err := c.page(ctx, list{name: "clients:" + c.params.date(), make: func(ctx context.Context) ([]entry, error) {
		sources, err := c.complete(ctx)
		if err != nil {
			return nil, err
		}
		return c.clientEntries(ctx, connectionsOf(sources), since)
	}})
	if err != nil {
		return nil, "", err
	}
	clients, err := c.clientsOf(ctx, p.entries)
	if err != nil {
		return nil, "", err
	}
	return &clientsAnswer{Clients: clients, Pagination: pagination{TotalCount: p.total, Limit: p.limit}},
		fmt.Sprintf("clients from %d: %d of %d", p.offset, len(clients), p.total), nil
}

// clientEntries lists the contacts that changed since a date, and those that the
// orders since then point to (roistat §9).
func (c *call) clientEntries(ctx context.Context, sources []string, since time.Time) ([]entry, error) {
	orders, err := c.orderEntries(ctx, sources, since)
	if err != nil {
		return nil, err
	}
	if len(orders) > allClientsFrom {
		keys, err := c.desk.LiveKeys(ctx, sources, model.KindContact)
		return entriesOf(keys), err
	}
	keys, err := c.desk.ChangedKeys(ctx, sources, model.KindContact, since)
	if err != nil {
		return nil, err
	}
	have := make(map[model.Key]bool, len(keys))
	for _, key := range keys {
		have[key] = true
	}
	for batch := range slices.Chunk(orders, batchSize) {
		records, err := c.recordsOf(ctx, batch)
		if err != nil {
			return nil, err
		}
		contacts, err := c.contactsOf(ctx, records)
		if err != nil {
			return nil, err
		}
		for _, e := range batch { // in the order of the list, so that two lists are equal
			r := records[e.key]
			if r == nil {
				continue
			}
			key, ok := contactKey(r)
			if contact := contacts[key]; ok && !have[key] && contact != nil && !contact.Meta().Deleted {
				have[key] = true
				keys = append(keys, key)
			}
		}
	}
	return entriesOf(keys), nil
}

func entriesOf(keys []model.Key) []entry {
	entries := make([]entry, 0, len(keys))
	for _, key := range keys {
		entries = append(entries, entry{key: key})
	}
	return entries
}

func (c *call) clientsOf(ctx context.Context, entries []entry) ([]client, error) {
	clients := make([]client, 0, len(entries))
	if len(entries) == 0 {
		return clients, nil
	}
	sources, err := c.desk.Sources(ctx)
	if err != nil {
		return nil, err
	}
	names, err := c.naming(ctx, connectionsOf(sources))
	if err != nil {
		return nil, err
	}
	records, err := c.recordsOf(ctx, entries)
	if err != nil {
		return nil, err
	}
	companies, err := c.companiesOf(ctx, records)
	if err != nil {
		return nil, err
	}
	for _, e := range entries {
		contact, ok := records[e.key].(*model.Contact)
		if !ok {
			return nil, refuse(http.StatusServiceUnavailable, model.CauseIncomplete, "A part of the list cannot be read any more, please begin again")
		}
		one := client{
			ID:        names.id(contact.Connection, contact.ID),
			Phone:     first(contact.Phones),
			Email:     first(contact.Emails),
			BirthDate: birthDate(contact.BirthDate),
		}
		parts := strings.Join(strings.Fields(contact.LastName+" "+contact.FirstName+" "+contact.MiddleName), " ")
		one.Name = cmp.Or(strings.TrimSpace(contact.Name), parts, one.Phone, one.Email, contact.ID)
		if company, ok := companies[companyKey(contact)].(*model.Company); ok && !company.Deleted {
			one.Company = company.Name
		}
		clients = append(clients, one)
	}
	return clients, nil
}

// birthDate leaves out what is no day: the key is absent then (roistat §2.5).
func birthDate(d model.Date) string {
	if _, err := time.Parse(time.DateOnly, string(d)); err != nil {
		return ""
	}
	return string(d)
}

func companyKey(c *model.Contact) model.Key {
	return model.Key{Connection: c.Connection, Kind: model.KindCompany, ID: c.CompanyID}
}

func (c *call) companiesOf(ctx context.Context, contacts map[model.Key]model.Record) (map[model.Key]model.Record, error) {
	var keys []model.Key
	asked := map[model.Key]bool{}
	for _, r := range contacts {
		contact, ok := r.(*model.Contact)
		if !ok || contact.CompanyID == "" || asked[companyKey(contact)] {
			continue
		}
		asked[companyKey(contact)] = true
		keys = append(keys, companyKey(contact))
	}
	if len(keys) == 0 {
		return nil, nil
	}
	return c.desk.Records(ctx, keys)
}
