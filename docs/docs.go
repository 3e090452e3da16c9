// Package docs holds the documentation, of which the console shows a part.
package docs

import "embed"

// Causes are the pages that explain every cause: en/causes.md and ru/causes.md.
//
//go:embed en/causes.md ru/causes.md
var Causes embed.FS
