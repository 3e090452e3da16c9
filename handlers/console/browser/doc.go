// Package browser tries the console in a real Chromium against the real binary:
// go test -tags browser ./handlers/console/browser. The tests fail when Chromium
// is missing. With -update they renew the pictures in docs/images.
package browser
