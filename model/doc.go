// Package model is the domain: the records that every source is turned into,
// the rows that every destination takes, and the errors that decide what
// happens next. It imports nothing of ours.
//
// A record is what a source knows about one thing (a deal, a contact…). A row
// is what a destination wants to be told about it. Connectors make records and
// take rows; flows turn the one into the other; the store keeps records.
package model
