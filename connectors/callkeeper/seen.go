package callkeeper

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"maps"
	"slices"
	"time"

	"github.com/svod-hub/svod/model"
)

// seen remembers which version of a call was read last: forty bits of its id
// and twenty-four of its content. A month of a thousand calls a day takes some
// 300 kB of the cursor.
type seen map[uint64]uint32

const entrySize = 8

// entryOf gives a call's place and mark. The time of the version is not part of
// the version.
func entryOf(call *model.Call) (uint64, uint32, error) {
	kept := call.UpdatedAt
	call.UpdatedAt = time.Time{}
	data, err := model.Encode(call)
	call.UpdatedAt = kept
	if err != nil {
		return 0, 0, err
	}
	id, content := sha256.Sum256([]byte(call.ID)), sha256.Sum256(data)
	return binary.BigEndian.Uint64(id[:]) >> 24, binary.BigEndian.Uint32(content[:]) >> 8, nil
}

func (s seen) has(id uint64, content uint32) bool {
	got, ok := s[id]
	return ok && got == content
}

// String packs the entries in the order of their ids.
func (s seen) String() string {
	out := make([]byte, 0, len(s)*entrySize)
	for _, id := range slices.Sorted(maps.Keys(s)) {
		out = binary.BigEndian.AppendUint64(out, id<<24|uint64(s[id]))
	}
	return base64.RawStdEncoding.EncodeToString(out)
}

func parseSeen(text string) (seen, bool) {
	data, err := base64.RawStdEncoding.DecodeString(text)
	if err != nil || len(data)%entrySize != 0 {
		return nil, false
	}
	s := make(seen, len(data)/entrySize)
	for ; len(data) > 0; data = data[entrySize:] {
		entry := binary.BigEndian.Uint64(data)
		s[entry>>24] = uint32(entry & (1<<24 - 1))
	}
	return s, true
}
