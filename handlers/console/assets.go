package console

import (
	"bytes"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"mime"
	"net/http"
	"path"
	"time"

	"github.com/labstack/echo/v4"
)

//go:embed static
var staticFiles embed.FS

// assets are the embedded style, script and picture. Their address carries a
// hash of their content, so browsers may keep them for good.
type assets struct {
	files   map[string][]byte
	version string
}

func loadAssets() assets {
	a := assets{files: map[string][]byte{}}
	entries, err := staticFiles.ReadDir("static")
	if err != nil {
		panic(err) // embedded
	}
	sum := sha256.New()
	for _, entry := range entries {
		data, err := staticFiles.ReadFile("static/" + entry.Name())
		if err != nil {
			panic(err) // embedded
		}
		a.files[entry.Name()] = data
		_, _ = sum.Write(data)
	}
	a.version = hex.EncodeToString(sum.Sum(nil))[:12]
	return a
}

func (a assets) path(name string) string { return "/console/static/" + a.version + "/" + name }

func (c *Console) serveAsset(ctx echo.Context) error {
	c.headers(ctx.Response().Header())
	name := ctx.Param("name")
	data, ok := c.assets.files[name]
	if !ok {
		return ctx.NoContent(http.StatusNotFound)
	}
	h := ctx.Response().Header()
	h.Set("Content-Type", mime.TypeByExtension(path.Ext(name)))
	if ctx.Param("version") == c.assets.version {
		h.Set("Cache-Control", "public, max-age=31536000, immutable")
	}
	http.ServeContent(ctx.Response(), ctx.Request(), name, time.Time{}, bytes.NewReader(data))
	return nil
}
