package measure

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"latchkey/local/lambdasvc"
	"latchkey/local/pocket"
	"latchkey/local/pocket/awscloud/awssdk"
	"latchkey/local/schedule"
	"latchkey/local/stack"
	"latchkey/local/template"
	"latchkey/shared/encryption"
	"latchkey/shared/store/keys"
)

// Checks are what the schedules take for groups whose keys are well.
type Checks struct {
	Groups int
	// IdleRun is a run of the checks in which nothing is due, IdleReminder one of what falls due.
	IdleRun, IdleReminder Usage
	// Hour is what an hour of checks takes besides, of all groups together: four checks of each, one of them thorough.
	Hour Usage
	// Weeks is what comes in so many Days besides: reminders, and what is told again. Of the checks of then it has
	// everything but what the index takes.
	Weeks Usage
	Days  int
	// CheckCPU is how long a check takes on one core of the machine that measures, waiting for nothing. A quarter
	// of a thorough one is a part of it; what a run takes whose slots hold nobody is not.
	CheckCPU time.Duration
	// Metrics are the custom metrics that are written while nothing happens but what schedules begin.
	Metrics int
	// SettingsBytes is how large a group's settings are in the index, GroupBytes all that is stored of a new group
	// with a key, in the table and its index.
	SettingsBytes, GroupBytes int
}

// settled is how long it takes until nothing that is done after a change is done any more.
const settled = 26 * time.Hour

// Checks measures an hour of checks of some groups, and a day.
func (w *World) Checks(ctx context.Context, groups int) (c Checks, err error) {
	c = Checks{Groups: groups}
	if c.IdleRun, err = w.run(ctx, "validate"); err != nil {
		return c, err
	}
	if c.IdleReminder, err = w.run(ctx, "remind"); err != nil {
		return c, err
	}
	nobody, err := w.time(ctx)
	if err != nil {
		return c, err
	}
	if err := w.signIn(ctx); err != nil { // the hours that passed have ended the token
		return c, err
	}
	var ids []string
	for n := range groups {
		s := step{"POST", "2023-01-01", v2 + "/groups", fmt.Sprintf(`{"name":"checked %d","orgId":"{org}"}`, n), "checked=id"}
		if _, err := w.take(ctx, w.account(), s); err != nil {
			return c, err
		}
		ids = append(ids, w.known["checked"])
		if err := w.bringKey(ctx, w.known["checked"]); err != nil {
			return c, err
		}
	}
	if err := w.rest(ctx); err != nil {
		return c, err
	}
	w.metrics.reset()
	if c.Hour, err = w.plainHour(ctx, c.IdleRun); err != nil {
		return c, err
	}
	if err := w.regularly(ctx); err != nil {
		return c, err
	}
	c.Metrics = w.metrics.reset()
	if c.Weeks, err = w.weeks(ctx, c); err != nil {
		return c, err
	}
	c.Days = weeks * 7
	all, err := w.time(ctx)
	if err != nil {
		return c, err
	}
	c.CheckCPU = (all - nobody) / time.Duration(ChecksPerHour*c.Groups)
	if c.SettingsBytes, c.GroupBytes, err = w.stored(ctx, ids); err != nil {
		return c, err
	}
	return c, w.signIn(ctx)
}

// run makes one run of a scheduled function twice and counts the second: of the first, what happens once is a part.
func (w *World) run(ctx context.Context, function string) (Usage, error) {
	if _, err := w.invoke(ctx, function); err != nil {
		return Usage{}, err
	}
	w.pass(time.Minute)
	return w.invoke(ctx, function)
}

// rest lets a day pass, and everything be done that is due after a change.
func (w *World) rest(ctx context.Context) error {
	for range 2 {
		w.pass(settled)
		for _, function := range []string{"validate", "remind"} {
			if _, err := w.run(ctx, function); err != nil {
				return err
			}
		}
	}
	return nil
}

// hours are how many are looked at for a plain one.
const hours = 4

// plainHour is the least that one of some hours takes: what comes once a week to a group is counted with the weeks.
func (w *World) plainHour(ctx context.Context, idle Usage) (least Usage, err error) {
	for n := range hours {
		u, err := w.hour(ctx, idle)
		if err != nil {
			return least, err
		}
		if n == 0 || u.ReadUnits < least.ReadUnits {
			least = u
		}
	}
	return least, nil
}

// hour is what an hour of checks takes, minute by minute, besides what it takes without any groups.
func (w *World) hour(ctx context.Context, idle Usage) (sum Usage, err error) {
	for range 60 {
		w.pass(time.Minute)
		u, err := w.invoke(ctx, "validate")
		if err != nil {
			return sum, err
		}
		sum = sum.Plus(u).Less(idle)
	}
	return sum, nil
}

// weeks is after how many weeks everything has had its turn.
const weeks = 4

// weeks is what weeks take that hours do not.
func (w *World) weeks(ctx context.Context, c Checks) (sum Usage, err error) {
	for range weeks {
		w.pass(7*24*time.Hour + 10*time.Minute) // what had its turn has it again
		checks, err := w.invoke(ctx, "validate")
		if err != nil {
			return sum, err
		}
		checks = checks.Less(c.IdleRun)
		checks.ReadUnits -= checks.IndexUnits
		reminders, err := w.invoke(ctx, "remind")
		if err != nil {
			return sum, err
		}
		sum = sum.Plus(checks).Plus(reminders.Less(c.IdleReminder))
	}
	return sum, nil
}

// stored is how large what is kept of groups is on average, as DynamoDB sees it.
func (w *World) stored(ctx context.Context, ids []string) (settings, all int, err error) {
	client := dynamodb.NewFromConfig(awssdk.Config(pocket.Transport(w.clouds.Served), stack.Region, w.clouds.Secrets.OperatorRoot))
	for _, id := range ids {
		for _, pk := range []string{keys.Group(id).PK, keys.EventPartition(keys.GroupScope(id))} {
			pages := dynamodb.NewQueryPaginator(client, &dynamodb.QueryInput{
				TableName: aws.String(tableName), KeyConditionExpression: aws.String("pk = :pk"),
				ExpressionAttributeValues: map[string]types.AttributeValue{":pk": &types.AttributeValueMemberS{Value: pk}},
			})
			for pages.HasMorePages() {
				page, err := pages.NextPage(ctx)
				if err != nil {
					return 0, 0, err
				}
				for _, item := range page.Items {
					all += size(item)
					if _, isIndexed := item["gsi1pk"]; isIndexed {
						all += size(item)
					}
					if sk, ok := item["sk"].(*types.AttributeValueMemberS); ok && sk.Value == keys.Encryption(id).SK {
						settings += size(item)
					}
				}
			}
		}
	}
	return settings / len(ids), all / len(ids), nil
}

// size is how large an item is: its attributes and their names.
func size(item map[string]types.AttributeValue) int {
	n := 0
	for name, value := range item {
		n += len(name)
		switch v := value.(type) {
		case *types.AttributeValueMemberS:
			n += len(v.Value)
		case *types.AttributeValueMemberB:
			n += len(v.Value)
		case *types.AttributeValueMemberN:
			n += (len(v.Value)+1)/2 + 1
		}
	}
	return n
}

// ChecksPerHour is how often each group is checked in an hour, once of them thoroughly.
const ChecksPerHour = 60 / encryption.SweepSlots

// RunsPerMonth is how often a template's schedules invoke functions in some time, a month say.
func RunsPerMonth(tmpl *template.Template, month time.Duration) (float64, error) {
	all, err := schedule.Read(tmpl)
	if err != nil {
		return 0, err
	}
	var runs float64
	begin := time.Date(2026, time.January, 1, 0, 0, 0, 0, time.UTC)
	for _, s := range all {
		for at := s.Expression.Next(begin, begin); at.Before(begin.Add(month)); at = s.Expression.Next(at, begin) {
			runs++
		}
	}
	return runs, nil
}

// time measures how long an hour of checks takes on one core when nothing is waited for.
func (w *World) time(ctx context.Context) (time.Duration, error) {
	const times = 20
	return w.aside.least(times, func() error {
		for range ChecksPerHour {
			w.pass(encryption.SweepSlots * time.Minute)
			if _, err := w.invoke(ctx, "validate"); err != nil {
				return err
			}
		}
		return nil
	})
}

// regularly invokes all that schedules invoke, once each.
func (w *World) regularly(ctx context.Context) error {
	all, err := schedule.Read(w.template)
	if err != nil {
		return err
	}
	for _, s := range all {
		i := slices.IndexFunc(w.functions, func(f lambdasvc.Function) bool { return f.ID == s.Function })
		if i < 0 {
			return fmt.Errorf("%s has no function", s.Name)
		}
		if _, err := w.functions[i].Invoke(ctx, s.Input); err != nil {
			return fmt.Errorf("%s: %w", s.Name, err)
		}
	}
	return nil
}
