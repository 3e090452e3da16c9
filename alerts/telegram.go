package alerts

import (
	"context"
	"encoding/json"
	"net/http"
	"strconv"
	"strings"
	"time"
	"unicode/utf16"

	"github.com/svod-hub/svod/model"
	"github.com/svod-hub/svod/outbound"
)

// TelegramURL is where the Bot API is.
const TelegramURL = "https://api.telegram.org"

// Telegram writes to a chat as a bot (destinations §4).
type Telegram struct {
	HTTP   Caller
	Memory Memory // of a chat's new number; may be nil
	URL    string // of the Bot API; TelegramURL when empty
	Token  model.Secret
	Chat   string // a number, or @name of a channel
	Thread int64  // a topic of a forum group; 0: none
	Now    func() time.Time
}

const (
	channelTimeout  = 15 * time.Second // destinations §0.4
	channelAnswer   = 64 << 10
	maxTelegramText = 4096 // UTF-16 units, to be safe (destinations §4)
)

// Name implements Channel.
func (t *Telegram) Name() string { return "telegram-" + short(t.Token.Reveal(), t.Chat) }

// Send implements Channel.
func (t *Telegram) Send(ctx context.Context, m Message) error {
	chat := t.Chat
	if t.Memory != nil {
		moved, err := t.Memory.Recall(ctx, "", "", t.movedName())
		if err != nil {
			return err
		}
		if moved != "" {
			chat = moved
		}
	}
	moved, err := t.send(ctx, chat, m.Text)
	if moved == "" {
		return err
	}
	// The group became a supergroup: its new number is kept, the message sent once
	// more (destinations §4).
	if t.Memory != nil {
		if err := t.Memory.Remember(ctx, "", "", t.movedName(), moved); err != nil {
			return err
		}
	}
	_, err = t.send(ctx, moved, m.Text)
	return err
}

func (t *Telegram) movedName() string { return "alerts." + t.Name() + ".chat" }

// telegramAnswer is what the Bot API answers.
type telegramAnswer struct {
	OK          bool   `json:"ok"`
	Code        int    `json:"error_code"`
	Description string `json:"description"`
	Parameters  struct {
		RetryAfter int64 `json:"retry_after"`
		MovedTo    int64 `json:"migrate_to_chat_id"`
	} `json:"parameters"`
}

// send gives the chat's new number when it has moved.
func (t *Telegram) send(ctx context.Context, chat, text string) (moved string, err error) {
	body := map[string]any{
		"chat_id": chat, "text": cutUTF16(text, maxTelegramText), "link_preview_options": map[string]bool{"is_disabled": true},
	}
	if number, err := strconv.ParseInt(chat, 10, 64); err == nil {
		body["chat_id"] = number
	}
	if t.Thread != 0 {
		body["message_thread_id"] = t.Thread
	}
	base := strings.TrimRight(t.URL, "/")
	if base == "" {
		base = TelegramURL
	}
	answer, err := postJSON(ctx, t.HTTP, base+"/bot"+t.Token.Reveal()+"/sendMessage", nil, body)
	if err != nil {
		return "", err
	}
	var said telegramAnswer
	if json.Unmarshal(answer.Body, &said) != nil {
		return "", model.Errorf(model.ClassTemporary, model.CauseRemoteFailure, "Telegram answered %d with something that is not JSON", answer.Status)
	}
	if said.OK {
		return "", nil
	}
	if said.Parameters.MovedTo != 0 {
		moved = strconv.FormatInt(said.Parameters.MovedTo, 10)
	}
	if said.Code == 0 {
		said.Code = answer.Status
	}
	return moved, t.refused(said)
}

// refused goes by the code first and by the text second: texts are no contract
// (destinations §4).
func (t *Telegram) refused(said telegramAnswer) error {
	says := strings.ToLower(said.Description)
	switch {
	case said.Code == http.StatusTooManyRequests:
		wait := time.Duration(min(max(said.Parameters.RetryAfter, 1), 24*3600)+1) * time.Second
		return &model.Error{Class: model.ClassQuota, Cause: model.CauseQuota, Message: "Telegram asks to wait", RetryAt: t.Now().Add(wait)}
	case said.Code == http.StatusUnauthorized, said.Code == http.StatusNotFound:
		return model.Errorf(model.ClassReauth, model.CauseAuth, "Telegram does not know the bot; check alerts.to telegram.token")
	case said.Code == http.StatusForbidden:
		return model.Errorf(model.ClassPermanent, model.CauseForbidden, "the bot may not write to the chat; add it to the chat, or start a conversation with it")
	case strings.Contains(says, "chat not found"):
		return model.Errorf(model.ClassPermanent, model.CauseNotFound, "Telegram does not know the chat; check alerts.to telegram.chat, and write to the bot once")
	case said.Code >= 400 && said.Code < 500 && said.Code != http.StatusMisdirectedRequest:
		return model.Errorf(model.ClassPermanent, model.CauseRequestRejected, "Telegram refused the message with %d", said.Code)
	}
	return model.Errorf(model.ClassTemporary, model.CauseRemoteFailure, "Telegram failed with %d", said.Code)
}

// cutUTF16 cuts a text to n UTF-16 units, at the end of a line where there is
// one.
func cutUTF16(text string, n int) string {
	units := utf16.Encode([]rune(text))
	if len(units) <= n {
		return text
	}
	cut := n - 2 // a line break and the sign that something is missing
	if utf16.IsSurrogate(rune(units[cut-1])) && units[cut-1] < 0xDC00 {
		cut--
	}
	kept := string(utf16.Decode(units[:cut]))
	if at := strings.LastIndexByte(kept, '\n'); at > 0 {
		kept = kept[:at]
	}
	return kept + "\n…"
}

// postJSON posts a document. The error never holds the address.
func postJSON(ctx context.Context, client Caller, url string, header http.Header, document any) (outbound.Response, error) {
	body, ok := document.([]byte)
	if !ok {
		var err error
		if body, err = json.Marshal(document); err != nil {
			return outbound.Response{}, model.Errorf(model.ClassPermanent, model.CauseInternal, "the message cannot be encoded: %w", err)
		}
	}
	if header == nil {
		header = http.Header{}
	}
	header.Set("Content-Type", "application/json; charset=utf-8")
	return client.Do(ctx, outbound.Request{
		Method: http.MethodPost, URL: url, Header: header, Body: newReader(body), Timeout: channelTimeout, MaxAnswer: channelAnswer,
	})
}
