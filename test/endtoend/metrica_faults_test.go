package endtoend

import (
	"flag"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	metrica "github.com/svod-hub/svod/connectors/yandexmetrica/sandbox"
)

var (
	seeds     = flag.Int("seeds", 12, "how many fault scripts to play against Metrica")
	firstSeed = flag.Uint64("seed", 0, "the first of the fault scripts")
)

// TestMetricaFaults plays scripts of bad luck between the hub and Metrica: resets
// at every point, gateways' pages, refusals for a while, answers that break off,
// and power cuts. In the end every conversion, call and chat is there, and none
// came twice. A script is made from its seed alone, though its timing is the
// machine's.
func TestMetricaFaults(t *testing.T) {
	for i := range uint64(max(*seeds, 0)) {
		seed := *firstSeed + i
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			t.Parallel()
			playFaults(t, seed)
		})
	}
}

// script is one run of bad luck.
type script struct {
	*world
	clock  *clockwork
	latch  *latch
	random *rand.Rand
	hub    *process
	want   map[string][]string // rows by kind, as shown prints them
	made   int
	told   []string // what happened
}

func playFaults(t *testing.T, seed uint64) {
	s := &script{world: newWorld(t, embedded()), random: rand.New(rand.NewPCG(seed, 31)), want: map[string][]string{}}
	if err := s.counter.AddTargets(metrica.DefaultCounter, "order_paid"); err != nil {
		t.Fatal(err)
	}
	s.counter.SetRules(func(r *metrica.Rules) {
		r.ListOrder = []string{"newest", "oldest"}[s.random.IntN(2)]
		r.QuotaStatus = []int{420, 429}[s.random.IntN(2)]
	})
	s.withSite()
	s.from("site", "conversions", "goal", "conversions", nil)
	s.from("site", "calls", "call", "calls", nil)
	s.from("site", "chats", "chat", "chats", nil)
	s.latch = s.world.latch()
	s.hub = s.start("hub")
	s.clock = s.clockwork()
	defer func() {
		if t.Failed() {
			t.Logf("the script of seed %d: %s", seed, strings.Join(s.told, "; "))
		}
	}()
	for range 3 {
		for range s.random.IntN(3) {
			s.inject()
		}
		s.send()
		s.mishap()
	}
	s.counter.ClearFaults()
	for kind := range s.want {
		slices.Sort(s.want[kind])
	}
	eventually(t, 60*time.Second, "everything is there", func() string {
		s.clock.pass()
		if busy := s.busy(); busy != "" {
			return busy
		}
		for _, kind := range slices.Sorted(maps.Keys(s.want)) {
			if got := s.shown(kind); !slices.Equal(got, s.want[kind]) {
				return fmt.Sprintf("%d of %d %s are there", len(got), len(s.want[kind]), kind)
			}
		}
		return ""
	})
	s.sentOnce("conversions", "calls", "chats")
	s.nothingSetAside()
	s.keepsProtocols()
}

// faults are those that end a call badly and leave its rows good. A day's quota
// is not among them: it holds everything back until midnight.
var faults = []string{
	metrica.FaultResetBefore, metrica.FaultResetDuring, metrica.FaultResetAfter, metrica.FaultResetStored, metrica.FaultResetAnswer,
	metrica.FaultTruncated, metrica.FaultNonsense, metrica.Fault503, metrica.Fault504, metrica.Fault504Stored, metrica.FaultHTML502,
	metrica.FaultHTMLStored, metrica.FaultQuota + "quota_requests_by_ip", metrica.FaultQuota + "quota_parallel_requests",
}

// inject queues a fault for uploads, their lists, the goals, or any call.
func (s *script) inject() {
	f := metrica.Fault{
		Name:  faults[s.random.IntN(len(faults))],
		Path:  []string{"/upload", "/upload", "/upload", "uploadings", "/goals", ""}[s.random.IntN(6)],
		Times: 1 + s.random.IntN(2),
		Delay: time.Duration(s.random.IntN(2)) * listsAfter / 2,
	}
	s.counter.Inject(f)
	s.told = append(s.told, fmt.Sprintf("%d times %s at %q, listed after %s", f.Times, f.Name, f.Path, f.Delay))
}

// send has the site send some hooks.
func (s *script) send() {
	s.t.Helper()
	for range 1 + s.random.IntN(3) {
		var list []map[string]any
		for range 1 + s.random.IntN(12) {
			list = append(list, s.record())
		}
		s.tell(list...)
	}
}

// record makes a record and says what becomes of it.
func (s *script) record() map[string]any {
	s.made++
	at := time.Now().Add(-time.Duration(1+s.random.IntN(10_000)) * time.Second).Truncate(time.Second)
	client := fmt.Sprint(1_700_000_000_000_000_000 + s.made)
	item := map[string]any{"id": fmt.Sprint("n", s.made), "client_id": client}
	kind, row := "", ""
	switch s.random.IntN(3) {
	case 0:
		item["type"], item["created_at"], item["target"] = "goal", at.Unix(), "order_paid"
		kind, row = "conversions", "ClientId="+client+" DateTime="+unix(at)+" Target=order_paid"
	case 1:
		item["type"], item["started_at"], item["talk_duration"], item["kind"] = "call", at.Unix(), s.made, "dynamic"
		kind, row = "calls", fmt.Sprintf("CallMissed=0 ClientId=%s DateTime=%s FirstTimeCaller=0 HoldDuration=0 StaticCall=0 TalkDuration=%d", client, unix(at), s.made)
	default:
		item["type"], item["created_at"], item["messenger"], item["name"] = "chat", at.Unix(), "viber", "somebody"
		kind, row = "chats", "ChatPlatform=viber ChatUsername=somebody ClientID="+client+" DateTime="+unix(at)
	}
	s.want[kind] = append(s.want[kind], row)
	return item
}

// mishap kills the hub at some point, or lets things take their course.
func (s *script) mishap() {
	s.t.Helper()
	switch s.random.IntN(6) {
	case 0: // as soon as the hooks were answered
		s.restart("behind the hooks")
	case 1:
		s.killAt(beforeUpload)
	case 2:
		s.killAt(afterUpload)
	case 3:
		s.counter.Inject(metrica.Fault{Name: metrica.FaultResetStored, Path: "/upload"})
		s.killAt(beforeList)
	default:
		s.quiet()
	}
}

// killAt kills the hub while a call is on its way. More is sent, so that there
// surely is one.
func (s *script) killAt(where string) {
	s.t.Helper()
	s.counter.ClearFaults()
	if where == beforeList {
		s.counter.Inject(metrica.Fault{Name: metrica.FaultResetStored, Path: "/upload"})
	}
	held := s.latch.arm(where)
	s.send()
	s.clock.reaches(s.t, held, where)
	s.restart(where)
}

func (s *script) restart(where string) {
	s.t.Helper()
	s.told = append(s.told, "killed "+where)
	s.hub.kill()
	s.clock.killed()
	if s.random.IntN(2) == 0 {
		s.clock.pass()
	}
	s.hub = s.start("hub")
}

// quiet waits until nothing moves but what waits for time to pass.
func (s *script) quiet() {
	s.t.Helper()
	eventually(s.t, 30*time.Second, "the hooks are worked on", func() string {
		s.hub.alive()
		for _, p := range s.status().Projects {
			for _, c := range p.Connections {
				if c.Waiting.Count > 0 {
					return fmt.Sprint(c.Waiting.Count, " hooks wait")
				}
			}
		}
		return ""
	})
	s.clock.due()
	s.told = append(s.told, "took its course")
}
