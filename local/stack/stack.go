// Package stack is a deployed template, as CloudFormation calls it, in one process: its functions,
// its state machines, schedules and event source mappings, and the pocket clouds that they reach.
//
// Its invariant: what runs is what template.yaml describes; what this package has no part for is an
// error. It keeps nothing by itself: tables, journals and the clouds' state are given to it, and so is
// the time. The suite on one machine and the simulation of it are assembled from it.
package stack

import (
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net/http"
	"slices"
	"time"

	"latchkey"
	"latchkey/local/functionurl"
	"latchkey/local/gateway"
	"latchkey/local/lambdasvc"
	"latchkey/local/schedule"
	"latchkey/local/template"
)

// Region is what local/template resolves AWS::Region to.
const Region = "us-east-1"

// What the suite tells people and operators through, as a template is deployed here that nobody gave
// other parameters for.
const (
	mailFrom   = "alerts@latchkey.example"
	alertTopic = "arn:aws:sns:" + Region + ":" + OperatorAccount + ":latchkey-alerts"
	eventBus   = "latchkey"
)

// told are the parameters of the template that have people told, in the pocket clouds.
func told() map[string]string {
	return map[string]string{"MailFrom": mailFrom, "AlertTopicArn": alertTopic, "EventBusName": eventBus, "SmsNotifications": "true"}
}

// Resolve reads the template with some of its parameters, and its functions. The networks and what
// people are told through are the pocket clouds' unless they are among the parameters. Nothing in this
// package changes what it returns, so many stacks can be made of it.
func Resolve(parameters map[string]string) (*template.Template, []template.Function, error) {
	networks, err := pocketNetworks()
	if err != nil {
		return nil, nil, err
	}
	all := told()
	all["PrivateEndpointNetworks"] = networks
	maps.Copy(all, parameters)
	tmpl, err := template.Parse(latchkey.Template(), template.Options{Parameters: all})
	if err != nil {
		return nil, nil, err
	}
	specs, err := tmpl.Functions()
	return tmpl, specs, err
}

// WithAPI returns the functions with another address of the API, for those that lead people to it in
// messages: API Gateway's is not where it is served here. An empty URL changes nothing.
func WithAPI(specs []template.Function, url string) []template.Function {
	specs = slices.Clone(specs)
	for i, spec := range specs {
		if _, knows := spec.Environment["API_URL"]; knows && url != "" {
			specs[i].Environment = maps.Clone(spec.Environment)
			specs[i].Environment["API_URL"] = url
		}
	}
	return specs
}

// Gateway is the REST API of the template in front of its functions.
func Gateway(
	tmpl *template.Template, functions []lambdasvc.Function, now func() time.Time, log *slog.Logger,
) (http.Handler, error) {
	return gateway.New(gateway.Config{Template: tmpl, Functions: byID(functions), Now: now, Log: log})
}

// NodesURL is the URL of the one function that has one: the address that agents call.
func NodesURL(
	tmpl *template.Template, functions []lambdasvc.Function, now func() time.Time, log *slog.Logger,
) (http.Handler, error) {
	specs, err := tmpl.Functions()
	if err != nil {
		return nil, err
	}
	for _, spec := range specs {
		if spec.URL != nil && spec.Name == "nodes" {
			f, err := Named(functions, spec.Name)
			return functionurl.New(f, now, log), err
		}
	}
	return nil, errors.New("the template has no URL of the function nodes")
}

// Schedules are the schedules of the template, which come due while they run.
func Schedules(
	tmpl *template.Template, functions []lambdasvc.Function, now func() time.Time, log *slog.Logger,
) (*schedule.Scheduler, error) {
	all, err := schedule.Read(tmpl)
	if err != nil {
		return nil, err
	}
	return schedule.New(all, byID(functions), now, log)
}

// Named finds a function by the name of its directory under functions/.
func Named(functions []lambdasvc.Function, name string) (lambdasvc.Function, error) {
	i := slices.IndexFunc(functions, func(f lambdasvc.Function) bool { return f.Name == name })
	if i < 0 {
		return lambdasvc.Function{}, fmt.Errorf("the template has no function %s", name)
	}
	return functions[i], nil
}

func byID(functions []lambdasvc.Function) map[string]lambdasvc.Invoker {
	all := map[string]lambdasvc.Invoker{}
	for _, f := range functions {
		all[f.ID] = f
	}
	return all
}
