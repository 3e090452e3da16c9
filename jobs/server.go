package jobs

import (
	"fmt"
	"time"

	"github.com/hibiken/asynq"
	"github.com/redis/go-redis/v9"
	"go.uber.org/zap"
)

// Server runs work from the queue.
type Server struct {
	server *asynq.Server
	engine *Engine
}

// ServerOptions configure a Server.
type ServerOptions struct {
	Redis redis.UniversalClient
	// Workers is how many pieces of work run side by side. Defaults to 8: most of
	// them wait for other systems.
	Workers int
	Log     *zap.Logger
}

// NewServer makes a Server.
func NewServer(engine *Engine, opts ServerOptions) *Server {
	if opts.Workers == 0 {
		opts.Workers = 8
	}
	return &Server{engine: engine, server: asynq.NewServerFromRedisClient(opts.Redis, asynq.Config{
		Concurrency:              opts.Workers,
		Queues:                   weights,
		RetryDelayFunc:           retryDelay,
		Logger:                   queueLog{opts.Log.Named("queue").WithOptions(zap.AddCallerSkip(1)).Sugar()},
		LogLevel:                 asynq.WarnLevel,
		ShutdownTimeout:          25 * time.Second,
		TaskCheckInterval:        200 * time.Millisecond,
		DelayedTaskCheckInterval: time.Second,
	})}
}

// Start begins to take work.
func (s *Server) Start() error {
	if err := s.server.Start(s.engine); err != nil {
		return fmt.Errorf("start the workers: %w", err)
	}
	return nil
}

// Stop takes no more work and returns when what runs has ended or was given
// back.
func (s *Server) Stop() {
	s.engine.Finish()
	s.server.Shutdown()
}

// retryDelay is asked only about failures of our own parts (the database is
// away): everything else is remembered in the database with its next time.
func retryDelay(n int, err error, _ *asynq.Task) time.Duration {
	now := time.Now()
	return min(retryAt(err, n, now).Sub(now), 30*time.Second)
}

// queueLog writes asynq's messages to our log.
type queueLog struct{ log *zap.SugaredLogger }

func (l queueLog) Debug(args ...any) { l.log.Debug(args...) }
func (l queueLog) Info(args ...any)  { l.log.Info(args...) }
func (l queueLog) Warn(args ...any)  { l.log.Warn(args...) }
func (l queueLog) Error(args ...any) { l.log.Error(args...) }

// Fatal does not end the process: who started us decides.
func (l queueLog) Fatal(args ...any) { l.log.Error(args...) }

var _ asynq.Handler = (*Engine)(nil)
