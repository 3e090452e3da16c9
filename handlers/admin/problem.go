package admin

import (
	"encoding/json"
	"errors"
	"net"
	"net/http"

	"go.uber.org/zap"

	"github.com/svod-hub/svod/model"
	"github.com/svod-hub/svod/store"
)

// Problem is an error after RFC 9457.
type Problem struct {
	Type   string      `json:"type"`
	Title  string      `json:"title"`
	Status int         `json:"status"`
	Detail string      `json:"detail,omitempty"`
	Cause  model.Cause `json:"cause,omitempty"`
	// Parameter names the part of the request that is wrong.
	Parameter string `json:"parameter,omitempty"`
}

// Error implements error.
func (p *Problem) Error() string { return p.Detail }

func badParameter(name, detail string) error {
	return &Problem{Status: http.StatusBadRequest, Parameter: name, Detail: detail}
}

// fail answers with the problem that an error means.
func (r *request) fail(err error) error {
	problem := &Problem{}
	var classified *model.Error
	switch {
	case errors.As(err, &problem):
	case errors.Is(err, store.ErrNotFound):
		problem = &Problem{Status: http.StatusNotFound, Detail: "There is no such thing in this project."}
	case r.Request().Context().Err() != nil:
		return nil // the caller has gone
	case errors.As(err, &classified):
		// Made for people, without secrets: what an action met at the other system.
		problem = &Problem{Status: http.StatusBadGateway, Detail: classified.Error(), Cause: classified.Cause}
		if classified.Cause == model.CauseInternal {
			problem.Status = http.StatusInternalServerError
		}
	default:
		r.api.opts.Log.Error("admin request failed",
			zap.String("method", r.Request().Method), zap.String("route", r.Path()), zap.Error(err))
		problem = &Problem{Status: http.StatusInternalServerError, Detail: "The hub could not read its data; its log says why."}
	}
	full := *problem
	full.Type, full.Title = "about:blank", http.StatusText(full.Status)
	body, err := json.Marshal(full)
	if err != nil {
		return err
	}
	return r.Blob(full.Status, "application/problem+json", body)
}

// remote is where a request came from: what the server's extractor trusts,
// else the connection's own address.
func (r *request) remote() string {
	if extract := r.Echo().IPExtractor; extract != nil {
		return extract(r.Request())
	}
	host, _, err := net.SplitHostPort(r.Request().RemoteAddr)
	if err != nil {
		return r.Request().RemoteAddr
	}
	return host
}
