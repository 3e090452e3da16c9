// Package loosejson holds JSON values for foreign interfaces whose types waver:
// numbers sent as text, empty PHP maps sent as [], absent values sent as "", {},
// false or 0.
//
// Decoding one of these never fails because of a value: what cannot be read is
// kept in Raw, and Err says so. So one odd field does not take a page of good rows
// down. Only the shape of a Map or List, and the JSON itself, may be wrong.
//
// Check or Unmarshal bound size and depth first: each nested Map or List is
// scanned once per level.
package loosejson
