package amocrm

import (
	"context"

	"github.com/svod-hub/svod/model"
)

type account struct {
	ID, Name, Zone, Currency string
}
type fieldList struct{}

func (c *Connector) readAccount(context.Context) (account, error) {
	return account{}, model.Errorf(model.ClassTemporary, model.CauseInternal, "not connected")
}
