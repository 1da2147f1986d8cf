// Package maintenanceapi offers maintenance windows over HTTP (CONTRACT 7.6).
package maintenanceapi

import (
	"context"
	"encoding/json"
	"math"
	"net/http"
	"reflect"

	"latchkey/shared/atlas"
	"latchkey/shared/httpapi"
	"latchkey/shared/identity"
	"latchkey/shared/maintenance"
)

// API serves the operations of this package.
type API struct{ Windows *maintenance.Service }

const base = "/api/atlas/v2/groups/{groupId}/maintenanceWindow"

// Routes lists the operations.
func (a API) Routes() []httpapi.Route {
	route := func(operation, method, path string, rule identity.Rule, h httpapi.Handler) httpapi.Route {
		return httpapi.Route{
			Operation: operation, Method: method, Path: base + path, Versions: []atlas.Version{atlas.V20230101},
			Rule: rule, Limit: httpapi.LimitMaintenance, Handle: h,
		}
	}
	return []httpapi.Route{
		route("getGroupMaintenanceWindow", http.MethodGet, "", identity.ReadGroup, a.get),
		route("updateGroupMaintenanceWindow", http.MethodPatch, "", identity.OwnGroup, httpapi.JSON(a.update)),
		route("resetGroupMaintenanceWindow", http.MethodDelete, "", identity.OwnGroup, a.reset),
		route("toggleGroupMaintenanceWindowAutoDefer", http.MethodPost, "/autoDefer", identity.OwnGroup, a.toggleAutoDefer),
		route("deferGroupMaintenanceWindow", http.MethodPost, "/defer", identity.OwnGroup, a.postpone),
	}
}

// view is a window on the wire. A project without one has day 0.
type view struct {
	AutoDeferOnceEnabled bool       `json:"autoDeferOnceEnabled"`
	DayOfWeek            int        `json:"dayOfWeek"`
	HourOfDay            int        `json:"hourOfDay"`
	NumberOfDeferrals    int        `json:"numberOfDeferrals"`
	ProtectedHours       *hoursView `json:"protectedHours,omitempty"`
	StartASAP            bool       `json:"startASAP"`
	TimeZoneID           string     `json:"timeZoneId"`
}

type hoursView struct {
	EndHourOfDay   int `json:"endHourOfDay"`
	StartHourOfDay int `json:"startHourOfDay"`
}

func (a API) get(ctx context.Context, r *httpapi.Request) (httpapi.Response, error) {
	w, err := a.Windows.Window(ctx, r.GroupID())
	if err != nil {
		return httpapi.Response{}, err
	}
	v := view{AutoDeferOnceEnabled: w.AutoDefer, DayOfWeek: w.Day, HourOfDay: w.Hour, TimeZoneID: w.Location().String()}
	if w.Plan != nil {
		v.NumberOfDeferrals, v.StartASAP = w.Plan.Deferrals, w.Plan.ASAP
	}
	if p := w.Protected; p != nil {
		v.ProtectedHours = &hoursView{EndHourOfDay: p.End, StartHourOfDay: p.Start}
	}
	return httpapi.OK(v), nil
}

// body is what clients send. Terraform sends protectedHours:{} to clear them.
type body struct {
	AutoDeferOnceEnabled *bool      `json:"autoDeferOnceEnabled"`
	DayOfWeek            *whole     `json:"dayOfWeek"`
	HourOfDay            *whole     `json:"hourOfDay"`
	ProtectedHours       *hoursBody `json:"protectedHours"`
	StartASAP            *bool      `json:"startASAP"`
}

type hoursBody struct {
	EndHourOfDay   *whole `json:"endHourOfDay"`
	StartHourOfDay *whole `json:"startHourOfDay"`
}

func (b body) settings() (maintenance.Settings, error) {
	s := maintenance.Settings{Day: (*int)(b.DayOfWeek), Hour: (*int)(b.HourOfDay), StartASAP: b.StartASAP, AutoDefer: b.AutoDeferOnceEnabled}
	if h := b.ProtectedHours; h != nil {
		switch start, end := h.StartHourOfDay, h.EndHourOfDay; {
		case start == nil && end == nil:
			s.Unprotects = true
		case start == nil:
			return s, atlas.Fail(atlas.MissingAttribute, "protectedHours.startHourOfDay")
		case end == nil:
			return s, atlas.Fail(atlas.MissingAttribute, "protectedHours.endHourOfDay")
		default:
			s.Protected = &maintenance.Hours{Start: int(*start), End: int(*end)}
		}
	}
	return s, nil
}

// update answers 200 without a body, as the real service does.
func (a API) update(ctx context.Context, r *httpapi.Request, b body) (httpapi.Response, error) {
	s, err := b.settings()
	if err != nil {
		return httpapi.Response{}, err
	}
	return done(a.Windows.Update(ctx, r.Caller, r.GroupID(), s))
}

func (a API) reset(ctx context.Context, r *httpapi.Request) (httpapi.Response, error) {
	return httpapi.NoContent(), a.Windows.Reset(ctx, r.Caller, r.GroupID())
}

func (a API) toggleAutoDefer(ctx context.Context, r *httpapi.Request) (httpapi.Response, error) {
	return done(a.Windows.ToggleAutoDefer(ctx, r.Caller, r.GroupID()))
}

func (a API) postpone(ctx context.Context, r *httpapi.Request) (httpapi.Response, error) {
	return done(a.Windows.Defer(ctx, r.Caller, r.GroupID()))
}

func done(err error) (httpapi.Response, error) {
	return httpapi.Response{Status: http.StatusOK}, err
}

// whole is an integer that clients may write as a number of any notation: 7.0 is 7 (CONTRACT 1.7).
type whole int

// UnmarshalJSON implements json.Unmarshaler.
func (w *whole) UnmarshalJSON(b []byte) error {
	var f float64
	if err := json.Unmarshal(b, &f); err != nil || f != math.Trunc(f) || math.Abs(f) > math.MaxInt32 {
		return &json.UnmarshalTypeError{Value: "no whole number", Type: reflect.TypeFor[int]()}
	}
	*w = whole(f)
	return nil
}
