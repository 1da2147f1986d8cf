package console

import (
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"latchkey/console/client"
	"latchkey/shared/atlas"
)

// Failure is why something was refused: the code and the sentence of the API, and what to do.
type Failure struct {
	Status     int
	Title      string
	Code       atlas.Code
	Detail     string
	Advice     string
	RetryAfter time.Duration
	fields     map[string]string // by the name of a member of the API, or of a field of the form
}

// Field is what is wrong with a field, by any of its names.
func (f *Failure) Field(names ...string) string {
	if f == nil {
		return ""
	}
	for _, name := range names {
		if said := f.fields[name]; said != "" {
			return said
		}
	}
	return ""
}

// isRefusal reports whether an error belongs above the form that was sent.
func (v *Visit) isRefusal(err error) bool {
	if _, ok := errors.AsType[*refusal](err); ok {
		return true
	}
	_, ok := errors.AsType[*client.Error](err)
	return ok && !client.IsUnauthorized(err)
}

// failedWith is the failure of an error of Do.
func failedWith(err error) *Failure {
	if r, ok := errors.AsType[*refusal](err); ok {
		return &Failure{Status: http.StatusUnprocessableEntity, Title: or(r.title, "Please correct the form"), Detail: r.sentence, fields: r.fields}
	}
	return failed(client.AsError(err))
}

func failed(e *client.Error) *Failure {
	f := &Failure{
		Status: e.Status, Title: title(e.Status), Code: e.Code, Detail: e.Detail, RetryAfter: e.RetryAfter, fields: map[string]string{},
	}
	for _, field := range e.Fields {
		f.fields[field.Field] = field.Description
	}
	f.Advice = advice(e)
	return f
}

func title(status int) string {
	switch {
	case status == http.StatusNotFound:
		return "There is no such thing"
	case status == http.StatusUnauthorized, status == http.StatusForbidden:
		return "You may not do this"
	case status == http.StatusTooManyRequests:
		return "Too many requests"
	case status == http.StatusGatewayTimeout:
		return "It took too long"
	case status >= http.StatusInternalServerError:
		return "The service has a problem"
	}
	return "This was refused"
}

// advice is what to do, where the API's sentence does not say so by itself.
func advice(e *client.Error) string {
	switch {
	case e.Status == http.StatusTooManyRequests || e.RetryAfter > 0:
		return "Try again " + in(max(e.RetryAfter, time.Second)) + "."
	case e.Status == http.StatusUnauthorized, e.Status == http.StatusForbidden:
		return "Ask an owner of the project for the role, or sign in as somebody who has it."
	case e.Status == http.StatusNotFound:
		return "It may have been removed, or it belongs to a project that you may not read."
	case e.Status == http.StatusConflict:
		return "Something else is going on with it. Look at how it stands now, then try again."
	case e.Status == http.StatusGatewayTimeout:
		return "Look at how it stands before you repeat it."
	case e.Status >= http.StatusInternalServerError:
		return "Try again in a moment. If it goes on, tell whoever runs the service the code above."
	}
	return ""
}

// in is a short time ahead, in words.
func in(d time.Duration) string {
	if seconds := int(d.Round(time.Second).Seconds()); seconds < 120 {
		return "in " + count(seconds, "second")
	}
	return "in " + count(int(d.Round(time.Minute).Minutes()), "minute")
}

// count is a number with its noun: "1 cluster", "2 clusters".
func count(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	if stem, ok := strings.CutSuffix(noun, "y"); ok && !strings.ContainsAny(stem[len(stem)-1:], "aeiou") {
		return fmt.Sprintf("%d %sies", n, stem)
	}
	return fmt.Sprintf("%d %ss", n, noun)
}
