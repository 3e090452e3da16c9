// Package jobs is what the queue runs: intake of journalled webhooks, re-reading
// of records, polls, deliveries to destinations, following of uploads, and
// housekeeping.
//
// The database is the truth and Redis only hands work out. A task names a piece
// of work ("deliver flow orders of shop") and carries no data, so that every
// task can be made again from the database; the sweeper does that. A piece of
// work is done by one worker at a time, under a lease in the database. Ids of
// tasks carry the lease's epoch: a task that a killed worker left behind never
// blocks the next one.
package jobs

import (
	"encoding/json"
	"fmt"
	"strconv"
	"time"

	"github.com/hibiken/asynq"
)

// WorkKind says what is to be done; it is also the queue's name and, with
// "svod:" before it, the task's type.
type WorkKind string

// The kinds of work.
const (
	WorkDeliver      WorkKind = "deliver"
	WorkErrand       WorkKind = "errand"
	WorkFetch        WorkKind = "fetch"
	WorkFollowUp     WorkKind = "follow_up"
	WorkHousekeeping WorkKind = "housekeeping"
	WorkIntake       WorkKind = "intake"
	WorkPoll         WorkKind = "poll"
)

// weights are the queues' shares of the workers when all are busy.
var weights = map[string]int{
	string(WorkIntake):       6,
	string(WorkDeliver):      5,
	string(WorkFetch):        4,
	string(WorkFollowUp):     2,
	string(WorkPoll):         2,
	string(WorkErrand):       1,
	string(WorkHousekeeping): 1,
}

// Work is one piece of work. Subject is a connection's id for intake, fetch and
// poll, a flow's id for deliver and follow_up, an errand's number for errand, and
// empty for housekeeping.
type Work struct {
	Kind    WorkKind `json:"-"`
	Project string   `json:"project,omitempty"`
	Subject string   `json:"subject,omitempty"`
}

// Name is the name of the work's lease.
func (w Work) Name() string { return string(w.Kind) + "/" + w.Project + "/" + w.Subject }

// idBucket is how long a task id that got stuck without its lease being taken
// (a worker killed between the two, a task that ran out of retries) can hold up
// its successors.
const idBucket = 10 * time.Second

// longest bounds one task: a large upload over a slow line takes hours.
const longest = 6 * time.Hour

func (w Work) task(epoch int64, now time.Time) (*asynq.Task, []asynq.Option, error) {
	payload, err := json.Marshal(w)
	if err != nil {
		return nil, nil, fmt.Errorf("encode work %s: %w", w.Name(), err)
	}
	id := w.Name() + "/" + strconv.FormatInt(epoch, 10) + "/" + strconv.FormatInt(now.Unix()/int64(idBucket/time.Second), 10)
	return asynq.NewTask(taskType(w.Kind), payload), []asynq.Option{
		asynq.TaskID(id), asynq.Queue(string(w.Kind)), asynq.MaxRetry(5), asynq.Timeout(longest),
	}, nil
}

func taskType(kind WorkKind) string { return "svod:" + string(kind) }

func workOf(task *asynq.Task) (Work, error) {
	var w Work
	if err := json.Unmarshal(task.Payload(), &w); err != nil {
		return w, fmt.Errorf("decode task %s: %w", task.Type(), err)
	}
	w.Kind = WorkKind(task.Type()[len("svod:"):])
	return w, nil
}
