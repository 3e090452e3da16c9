package main

import (
	"context"
	"encoding/json"
)

// status is what the hub tells of itself.
type status struct {
	Projects []struct {
		Connections []struct {
			ID      string              `json:"id"`
			Waiting struct{ Count int } `json:"waiting"`
			Refs    struct{ Count int } `json:"waiting_refs"`
		} `json:"connections"`
		Flows []struct {
			ID      string `json:"id"`
			Lag     int    `json:"lag"`
			Due     int    `json:"due"`
			Sending int    `json:"sending"`
			Sent    int    `json:"sent"`
			Refused int    `json:"refused"`
			Waiting int    `json:"waiting"`
			Error   string `json:"error"`
		} `json:"flows"`
	} `json:"projects"`
}

func (p *process) status(ctx context.Context) (status, error) {
	var st status
	body, err := p.get(ctx, "/api/v1/status")
	if err == nil {
		err = json.Unmarshal(body, &st)
	}
	return st, err
}
