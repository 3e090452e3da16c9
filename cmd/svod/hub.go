package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"slices"
	"time"

	"github.com/hibiken/asynq"
	"github.com/hibiken/asynqmon"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"go.uber.org/zap"

	"github.com/svod-hub/svod/api"
	"github.com/svod-hub/svod/broker"
	"github.com/svod-hub/svod/config"
	"github.com/svod-hub/svod/connectors"
	"github.com/svod-hub/svod/connectors/registry"
	"github.com/svod-hub/svod/credentials"
	"github.com/svod-hub/svod/handlers/admin"
	"github.com/svod-hub/svod/handlers/console"
	"github.com/svod-hub/svod/handlers/hooks"
	"github.com/svod-hub/svod/handlers/oauth"
	"github.com/svod-hub/svod/handlers/pulls"
	"github.com/svod-hub/svod/jobs"
	"github.com/svod-hub/svod/journal"
	"github.com/svod-hub/svod/metrics"
	"github.com/svod-hub/svod/ratelimit"
	"github.com/svod-hub/svod/store"
)

// The roles that a process may have.
const (
	roleAPI       = "api"
	roleScheduler = "scheduler"
	roleWorker    = "worker"
)

// hub is the whole program, wired. Open it, Start it, Stop it.
type hub struct {
	cfg     *config.Config
	kinds   *registry.Registry
	log     *zap.Logger
	now     func() time.Time
	metrics *metrics.Set
	reg     *prometheus.Registry

	store   *store.DB
	broker  *broker.Broker
	vault   *credentials.Vault
	secrets map[string]string // "project/connection" → last part of its addresses
	setup   *jobs.Setup
	quotas  *quotas

	engine     *jobs.Engine
	dispatcher *jobs.Dispatcher
	queue      *asynq.Client
	server     *jobs.Server
	sweeper    *jobs.Sweeper
	journal    *journal.Journal
	http       *api.Server

	stops []func()
}

// openHub opens the database, brings it up to date if migrate says so, and
// builds everything that the roles need.
func openHub(ctx context.Context, cfg *config.Config, log *zap.Logger, migrate bool) (*hub, error) {
	h := &hub{
		cfg: cfg, kinds: registry.New(), log: log, now: time.Now,
		reg: prometheus.NewRegistry(), secrets: map[string]string{},
	}
	h.reg.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	h.metrics = metrics.New(h.reg)
	if err := h.openStore(ctx, migrate); err != nil {
		return nil, err
	}
	h.quotas = newQuotas(h.store, h.log, h.now)
	if err := h.openRest(ctx); err != nil {
		h.close()
		return nil, err
	}
	return h, nil
}

func (h *hub) openStore(ctx context.Context, migrate bool) error {
	var err error
	h.store, err = store.Open(ctx, h.cfg.Database, store.Options{Log: h.log.Named("store"), Now: h.now})
	if err != nil {
		return fmt.Errorf("open the database: %w", err)
	}
	if err := h.prepareStore(ctx, migrate); err != nil {
		_ = h.store.Close()
		return err
	}
	return nil
}

// prepareStore brings the database up to date, or refuses to work on an older
// one: a command beside a running hub of an older version must not change its
// database under it.
func (h *hub) prepareStore(ctx context.Context, migrate bool) error {
	if migrate {
		if err := h.store.Migrate(ctx); err != nil {
			return fmt.Errorf("bring the database up to date: %w", err)
		}
		return nil
	}
	pending, err := h.store.PendingMigrations(ctx)
	if err != nil {
		return err
	}
	if pending > 0 {
		return fmt.Errorf("the database is new or older than this program (%d steps); run `svod serve` of this version once, it brings it up to date", pending)
	}
	return nil
}

func (h *hub) openRest(ctx context.Context) error {
	var err error
	if h.broker, err = broker.Open(h.cfg.Redis); err != nil {
		return err
	}
	if h.vault, err = openVault(h.cfg); err != nil {
		return err
	}
	for _, p := range h.cfg.Projects {
		for _, c := range p.Connections {
			secret := c.HookSecret.Reveal()
			if secret == "" {
				if secret, err = h.store.HookSecret(ctx, p.ID, c.ID, credentials.NewHookSecret); err != nil {
					return fmt.Errorf("keep the address of %s: %w", c.ID, err)
				}
			}
			h.secrets[p.ID+"/"+c.ID] = secret
		}
	}
	var problems config.Problems
	h.setup, problems = buildSetup(h.cfg, h.kinds, h.deps())
	if hasErrors(problems) {
		return problemsError(problems)
	}
	h.queue = asynq.NewClientFromRedisClient(h.broker.Client)
	h.dispatcher = jobs.NewDispatcher(h.queue, h.store, h.log, h.metrics, h.now)
	h.engine = jobs.New(jobs.Options{
		Store: h.store, Setup: h.setup, Wake: h.dispatcher.Wake, Holder: holder(),
		SpoolDir: os.TempDir(), KeepJournal: h.cfg.Retention.Journal, KeepUploads: h.cfg.Retention.Uploads,
		Log: h.log, Metrics: h.metrics, Now: h.now,
	})
	return nil
}

// deps lends the hub's parts to the connectors.
func (h *hub) deps() lend {
	limiter := ratelimit.New(h.broker.Client, ratelimit.Options{})
	return func(p *config.Project, c *config.Connection) connectors.Deps {
		return connectors.Deps{
			Project: p.ID, Connection: c.ID, Zone: p.Zone, Currency: p.Currency, Region: p.Region,
			HookURL: address(h.cfg, "hooks", p.ID, c.ID, h.secret(p.ID, c.ID)), OAuthURL: address(h.cfg, "oauth", p.ID, c.ID),
			HTTP: h.client(writtenAddresses(c)...), Limiter: h.quotas.limiter(limiter, p.ID, c.ID),
			Memory: credentials.Memory(h.store, p.ID, c.ID), Tokens: credentials.Tokens(h.vault, h.store, p.ID, c.ID),
			Log: h.log.Named(c.Kind).With(zap.String("project", p.ID), zap.String("connection", c.ID)), Now: h.now,
		}
	}
}

func (h *hub) secret(project, connection string) string { return h.secrets[project+"/"+connection] }

// holder names this process in leases.
func holder() string {
	host, err := os.Hostname()
	if err != nil {
		host = "unknown"
	}
	return fmt.Sprintf("%s/%d/%s", host, os.Getpid(), credentials.NewHookSecret()[:6])
}

// start runs the roles. What it started is stopped by stop, in reverse.
func (h *hub) start(ctx context.Context, roles []string) error {
	if h.broker.Embedded && len(roles) < 3 {
		return errors.New("redis: embedded serves one process only; to split the roles, set redis: to a server's address")
	}
	if err := h.resetConnections(ctx); err != nil {
		return err
	}
	h.dispatcher.Start()
	h.stops = append(h.stops, h.dispatcher.Stop)
	if slices.Contains(roles, roleWorker) {
		h.server = jobs.NewServer(h.engine, jobs.ServerOptions{Redis: h.broker.Client, Log: h.log})
		if err := h.startWorkers(ctx); err != nil {
			return err
		}
	}
	if slices.Contains(roles, roleScheduler) {
		h.sweeper = jobs.NewSweeper(h.engine)
		h.sweeper.Start()
		h.stops = append(h.stops, h.sweeper.Stop)
		h.startAlerts()
	}
	if slices.Contains(roles, roleAPI) {
		return h.startAPI(ctx)
	}
	// Health and metrics only.
	return h.listen(nil)
}

// startWorkers waits for Redis without holding up the rest: webhooks are taken
// meanwhile.
func (h *hub) startWorkers(ctx context.Context) error {
	ctx, cancel := context.WithCancel(context.WithoutCancel(ctx))
	done := make(chan struct{})
	started := false
	go func() {
		defer close(done)
		for ctx.Err() == nil {
			err := h.broker.Ping(ctx)
			if err == nil {
				if err = h.server.Start(); err == nil {
					started = true
					return
				}
			}
			h.log.Warn("workers wait for Redis", zap.Error(err))
			select {
			case <-ctx.Done():
			case <-time.After(time.Second):
			}
		}
	}()
	h.stops = append(h.stops, func() {
		cancel()
		<-done
		if started {
			h.server.Stop()
		}
	})
	return nil
}

// resetConnections lets connections that waited for a person try again: who
// starts the hub anew has acted.
func (h *hub) resetConnections(ctx context.Context) error {
	for _, p := range h.setup.Projects {
		for _, c := range p.Connections {
			st, err := h.store.ConnectionState(ctx, p.ID, c.ID)
			if err != nil {
				return err
			}
			if st.Status != "" && st.Status != "ok" {
				if err := jobs.Reset(ctx, h.store, p.ID, c.ID); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

func (h *hub) startAPI(ctx context.Context) error {
	if err := h.keepUsers(ctx); err != nil {
		return err
	}
	h.journal = journal.New(journal.Options{
		Append: h.store.AppendJournal, MaxEntries: h.cfg.Server.Limits.Journal, Metrics: h.metrics,
		Wake: func(project, connection string) {
			h.dispatcher.Wake(jobs.Work{Kind: jobs.WorkIntake, Project: project, Subject: connection})
		},
	})
	h.journal.Start()
	h.stops = append(h.stops, h.journal.Stop)
	return h.listen(h.routes())
}

// listen serves these routes besides health and metrics.
func (h *hub) listen(routes []api.Routes) error {
	h.http = api.New(api.Options{
		Listen: h.cfg.Server.Listen, MaxLine: h.cfg.Server.Limits.PullHeader, Routes: routes,
		Health: h.health, Ready: h.ready,
		Metrics: promhttp.HandlerFor(h.reg, promhttp.HandlerOpts{}), Log: h.log.Named("api"),
	})
	if err := h.http.Start(); err != nil {
		return err
	}
	h.stops = append(h.stops, func() {
		ctx, cancel := context.WithTimeout(context.Background(), 15*time.Second)
		defer cancel()
		_ = h.http.Stop(ctx)
	})
	return nil
}

func (h *hub) routes() []api.Routes {
	projects := views(h.cfg, h.kinds, h.secret)
	actions := &actions{hub: h}
	return []api.Routes{
		hooks.New(hooks.Options{
			Journal: h.journal, Lookup: h.hookTarget, MaxBody: h.cfg.Server.Limits.Body, Rate: h.cfg.Server.Limits.HookRate,
			Log: h.log.Named("hooks"), Metrics: h.metrics, Now: h.now,
		}),
		pulls.New(pulls.Options{Store: h.store, Lookup: h.pullTarget, Wake: h.wakeFlows, Log: h.log.Named("pulls"), Metrics: h.metrics, Now: h.now}),
		oauth.New(oauth.Options{Store: h.store, Lookup: h.oauthTarget, Authorized: h.authorized, Log: h.log.Named("oauth"), Now: h.now}),
		admin.New(admin.Options{Store: h.store, Actions: actions, Projects: projects, Tokens: tokens(h.cfg), Now: h.now, Log: h.log.Named("admin")}),
		console.New(console.Options{
			Store: h.store, Actions: actions, Projects: projects, Queues: h.queueDashboard(), Depths: h.depths, Audience: h.audience,
			Expiries: h.expiries, Quotas: h.quotas.used,
			PublicURL: address(h.cfg), Now: h.now, Log: h.log.Named("console"),
		}),
	}
}

// depths tells how much work waits in the queues.
func (h *hub) depths(ctx context.Context) ([]console.QueueDepth, error) {
	inspector := asynq.NewInspectorFromRedisClient(h.broker.Client)
	queues, err := inspector.Queues()
	if err != nil {
		return nil, fmt.Errorf("list the queues: %w", err)
	}
	slices.Sort(queues)
	depths := make([]console.QueueDepth, 0, len(queues))
	for _, name := range queues {
		info, err := inspector.GetQueueInfo(name)
		if err != nil {
			return nil, fmt.Errorf("look into queue %s: %w", name, err)
		}
		depths = append(depths, console.QueueDepth{
			Name: name, Waiting: info.Pending + info.Scheduled + info.Retry, Active: info.Active,
		})
	}
	return depths, ctx.Err()
}

// audience tells today's visitors, where the connection's system counts them.
func (h *hub) audience(ctx context.Context, project, connection string) (connectors.Audience, bool, error) {
	c := h.setup.Connection(project, connection)
	if c == nil {
		return connectors.Audience{}, false, nil
	}
	informer, ok := c.Connector.(connectors.Informer)
	if !ok {
		return connectors.Audience{}, false, nil
	}
	a, err := informer.Audience(ctx)
	return a, true, err
}

func (h *hub) queueDashboard() http.Handler {
	opt := asynqRedis{h.broker}
	return asynqmon.New(asynqmon.Options{RootPath: "/console/queues", RedisConnOpt: opt})
}

// asynqRedis lets the dashboard use our connection.
type asynqRedis struct{ broker *broker.Broker }

// MakeRedisClient implements asynq.RedisConnOpt.
func (r asynqRedis) MakeRedisClient() any { return r.broker.Client }

func (h *hub) hookTarget(project, connection string) (hooks.Target, bool) {
	c := h.setup.Connection(project, connection)
	if c == nil || !c.Receives {
		return hooks.Target{}, false
	}
	return hooks.Target{Connector: c.Connector, Secret: h.secret(project, connection)}, true
}

func (h *hub) pullTarget(project, connection string) (pulls.Target, bool) {
	c := h.setup.Connection(project, connection)
	if c == nil {
		return pulls.Target{}, false
	}
	return pulls.Target{
		Connector: c.Connector, Secret: h.secret(project, connection), RecordsFrom: c.RecordsFrom, Polled: c.Poll > 0,
	}, true
}

func (h *hub) oauthTarget(project, connection string) (oauth.Target, bool) {
	c := h.setup.Connection(project, connection)
	if c == nil {
		return oauth.Target{}, false
	}
	authorizer, ok := c.Connector.(connectors.Authorizer)
	return oauth.Target{Connector: authorizer, Secret: h.secret(project, connection)}, ok
}

func (h *hub) authorized(ctx context.Context, project, connection string) error {
	if err := jobs.Reset(ctx, h.store, project, connection); err != nil {
		return err
	}
	for _, kind := range []jobs.WorkKind{jobs.WorkPoll, jobs.WorkFetch} {
		h.dispatcher.Wake(jobs.Work{Kind: kind, Project: project, Subject: connection})
	}
	return nil
}

// wakeFlows lets the flows run that a connection's records may concern.
func (h *hub) wakeFlows(project, connection string) {
	p := h.setup.Project(project)
	if p == nil {
		return
	}
	for _, f := range p.Flows {
		if slices.Contains(f.Spec.From, connection) {
			h.dispatcher.Wake(jobs.Work{Kind: jobs.WorkDeliver, Project: project, Subject: f.Spec.ID})
		}
	}
}

func tokens(cfg *config.Config) []admin.Token {
	var all []admin.Token
	for _, t := range cfg.Console.Tokens {
		projects := t.Projects
		if len(projects) == 0 {
			projects = []string{"*"}
		}
		all = append(all, admin.Token{Name: t.Name, Token: t.Token, Projects: projects})
	}
	return all
}

func (h *hub) health(ctx context.Context) []api.Part {
	part := func(name string, err error) api.Part {
		if err != nil {
			return api.Part{Name: name, State: "failing", Error: err.Error()}
		}
		return api.Part{Name: name, State: "ok"}
	}
	pending, err := h.store.PendingMigrations(ctx)
	if err == nil && pending > 0 {
		err = fmt.Errorf("%d migrations are pending; start svod serve of this version once", pending)
	}
	return []api.Part{
		part("database", h.store.Ping(ctx)),
		part("migrations", err),
		part("redis", h.broker.Ping(ctx)),
	}
}

func (h *hub) ready(ctx context.Context) []api.Part { return h.health(ctx) }

// stop ends everything in the reverse order of its start.
func (h *hub) stop() {
	// Webhooks first: what is answered is journalled; then work, then storage.
	for i := len(h.stops) - 1; i >= 0; i-- {
		h.stops[i]()
	}
	h.stops = nil
	h.close()
}

func (h *hub) close() {
	// The client is the broker's own and is closed with it.
	if h.broker != nil {
		h.broker.Close()
	}
	if err := h.store.Close(); err != nil {
		h.log.Warn("database not closed cleanly", zap.Error(err))
	}
}
