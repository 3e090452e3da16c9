package model

import (
	"errors"
	"fmt"
	"time"
)

// Class says what an error means for the work that met it. Connectors
// classify, jobs decide.
type Class string

const (
	// ClassPermanent: repeating changes nothing; the data or the set-up is wrong.
	ClassPermanent Class = "permanent"
	// ClassTemporary: repeat with backoff.
	ClassTemporary Class = "temporary"
	// ClassQuota: the system asks to wait; repeat at RetryAt, attempts not counted.
	ClassQuota Class = "quota"
	// ClassReauth: the credential is no good; stop the connection until a person acts.
	ClassReauth Class = "reauth"
	// ClassUnknown: the request left, its outcome is not known; ask before repeating.
	ClassUnknown Class = "unknown_outcome"
)

// Error is a classified failure. Message is for people and holds no secret and
// no personal data; Cause is for machines.
type Error struct {
	Class   Class
	Cause   Cause
	Message string
	RetryAt time.Time // for ClassQuota and, if the system said so, ClassTemporary
	Err     error     // what was underneath; may be nil
}

// Error implements error.
func (e *Error) Error() string {
	if e.Err == nil {
		return e.Message
	}
	below := e.Err.Error()
	if e.Message == "" || below == "" {
		return e.Message + below
	}
	return e.Message + ": " + below
}

// Unwrap gives what was underneath.
func (e *Error) Unwrap() error { return e.Err }

// Errorf makes a classified error; a %w operand becomes Err.
func Errorf(class Class, cause Cause, format string, args ...any) *Error {
	wrapped := fmt.Errorf(format, args...)
	return &Error{Class: class, Cause: cause, Message: wrapped.Error(), Err: silent{errors.Unwrap(wrapped)}.orNil()}
}

// silent keeps a wrapped error reachable for errors.Is and As without printing
// it a second time.
type silent struct{ err error }

func (s silent) Error() string { return "" }
func (s silent) Unwrap() error { return s.err }
func (s silent) orNil() error {
	if s.err == nil {
		return nil
	}
	return s
}

// ClassOf finds the class of an error. An error that nobody classified is
// temporary: it is repeated with backoff and seen by the operator.
func ClassOf(err error) Class {
	var e *Error
	if errors.As(err, &e) {
		return e.Class
	}
	return ClassTemporary
}

// CauseOf finds the cause of an error, or CauseInternal.
func CauseOf(err error) Cause {
	var e *Error
	if errors.As(err, &e) && e.Cause != "" {
		return e.Cause
	}
	return CauseInternal
}
