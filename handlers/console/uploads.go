package console

import (
	"net/http"
	"strconv"

	"github.com/svod-hub/svod/handlers/view"
	"github.com/svod-hub/svod/store"
)

var uploadFields = []string{"flow", "status"}

type uploadsData struct {
	Fields  *fields
	Uploads []view.UploadStatus
	Older   string
}

// uploads lists batches and their fates.
func (c *Console) uploads(r *request) error {
	f := newFields(r.QueryParams(), r.project.ZoneOrUTC())
	filter := store.UploadFilter{
		Project: r.project.ID, Flow: f.Get("flow"), BeforeID: f.number("before"), Limit: pageSize,
	}
	if status := f.Get("status"); status != "" {
		filter.Statuses = []store.UploadStatus{store.UploadStatus(status)}
	}
	list, err := c.opts.Store.Uploads(r.Request().Context(), filter)
	if err != nil {
		return err
	}
	data := uploadsData{Fields: f}
	for _, u := range list {
		data.Uploads = append(data.Uploads, view.NewUploadStatus(u))
	}
	if len(list) == pageSize {
		last := strconv.FormatInt(list[len(list)-1].ID, 10)
		data.Older = r.at("/uploads?" + f.with(uploadFields, "before", last))
	}
	return r.render(http.StatusOK, "uploads", "nav.uploads", data)
}

type uploadData struct {
	Upload view.UploadStatus
	Group  string
	Answer view.Body
	Parts  []view.UploadStatus
	Rows   []store.Delivery
	More   bool // there are more rows than shown
}

// upload shows one batch with the destination's answer, its parts and its rows.
func (c *Console) upload(r *request) error {
	id, err := strconv.ParseInt(r.Param("id"), 10, 64)
	if err != nil {
		return store.ErrNotFound
	}
	ctx := r.Request().Context()
	u, err := c.opts.Store.Upload(ctx, r.project.ID, id)
	if err != nil {
		return err
	}
	data := uploadData{Upload: view.NewUploadStatus(u), Group: u.Group, Answer: view.NewBody(u.Details)}
	parts, err := c.opts.Store.Uploads(ctx, store.UploadFilter{Project: r.project.ID, Flow: u.Flow, Parent: id})
	if err != nil {
		return err
	}
	for _, p := range parts {
		data.Parts = append(data.Parts, view.NewUploadStatus(p))
	}
	data.Rows, err = c.opts.Store.Deliveries(ctx, store.DeliveryFilter{
		Project: r.project.ID, Flow: u.Flow, UploadID: id, Limit: pageSize,
	})
	if err != nil {
		return err
	}
	data.More = len(data.Rows) == pageSize
	return r.render(http.StatusOK, "upload", "upload.title", data)
}
