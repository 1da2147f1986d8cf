package sim

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/iam"
	"go.mongodb.org/atlas-sdk/v20250312018/admin"

	"latchkey/local/pocket/awscloud/awssdk"
	"latchkey/local/stack"
)

// crowd is what happens in a world of so many projects that the guard against mass failures has something to do: it
// believes neither that all customers have revoked at once, nor disbelieves one customer who has. The weather is calm, or
// else some checks would end otherwise than most, and the guard would be right to see no cause that they have in common.
//
// Seeds have no crowd unless they are told to: twenty verdicts are stored at once, and draw the ids of their events in
// an order that no seed decides.
type crowd struct {
	world *World
	// customers is how many of the projects are one customer's, who has most of them.
	customers int
	pages     int // how often the operator was told of verdicts that are held back
}

// A guard that looks at 20 keys and more, and at three customers and more, needs some of both to spare.
const (
	crowdSize  = 25
	othersSize = 3
)

// crowded makes a world crowded, as its seed says.
func crowded(w *World) *crowd {
	spare := stream(w.cfg.Seed, 5)
	c := &crowd{world: w, customers: crowdSize - othersSize + spare.IntN(4)}
	w.cfg.Groups, w.cfg.Rate = c.customers+othersSize+spare.IntN(4), 0
	return c
}

// What befalls a crowd.
const (
	lostPermission     = "a permission of ours is lost"
	returnedPermission = "the permission is given back"
	revokedAtOnce      = "a customer takes the keys of all its projects away"
)

// join has the customer found one more project.
func (c *crowd) join(t, first *tenant) error {
	made, _, err := first.client.ProjectsApi.CreateGroup(within(c.world.ctx, t.proc), &admin.Group{Name: t.name, OrgId: first.org}).Execute()
	if err != nil {
		return fmt.Errorf("%s: %w", t.name, err)
	}
	t.org, t.group, t.client = first.org, made.GetId(), first.client
	t.keep(newKey(t))
	return nil
}

// aKeyOfTheCrowd is one that is used by a role: what is lost is what the keys have in common. They are in several regions, since
// of one customer's keys in one region eight are checked at a time, and which ones are next is nothing that a seed decides.
func aKeyOfTheCrowd(t *tenant) customerKey {
	regions := []string{awsRegion, otherRegion, "us-west-2", "eu-central-1"}
	k := anAWSKey(t)
	k.static, k.home = false, regions[t.n%len(regions)]
	k.region = k.home
	return k
}

// days is what befalls the crowd, once all of its keys are in use.
func (c *crowd) days() {
	w := c.world
	for _, act := range []func(){c.settleIn, c.loses, c.revokes, w.mend} {
		if act(); len(w.failed) > 0 {
			return
		}
	}
}

// settleIn has everybody bring a key, and some keep a cluster.
func (c *crowd) settleIn() {
	c.world.recovers(func(t *tenant, ctx context.Context) {
		for k := t.keys[0]; !k.brought; {
			k.configure(ctx)
		}
		if t.n == 0 || t.n == c.customers { // the customer, and the first of the others
			t.create(ctx)
		}
	})
}

// loses is that Latchkey's own organisation forbids it to assume roles and spares the canary, as a policy may that somebody
// had exempt what it broke before. Every key is refused alike, by proof: nobody may be stopped, and the operator is told.
func (c *crowd) loses() {
	w := c.world
	organisation := iam.NewFromConfig(awssdk.Config(patient{w.inside, w}, stack.Region, w.clouds.Secrets.OperatorRoot))
	role, name := aws.String(stack.KeysRole), aws.String("organisation")
	c.acts(lostPermission, func(ctx context.Context) error {
		_, err := organisation.PutRolePolicy(ctx, &iam.PutRolePolicyInput{RoleName: role, PolicyName: name, PolicyDocument: aws.String(
			`{"Version":"2012-10-17","Statement":[{"Effect":"Deny","Action":"sts:AssumeRole","NotResource":"` + stack.CanaryARN + `"}]}`)})
		return err
	})
	w.deployment() // which ends the sessions that there are
	c.pass(20 * time.Minute)
	if c.pages == 0 {
		w.failf("I1: all keys of %d customers were refused at once, and the operator was not told", len(w.tenants)-c.customers+1)
	}
	c.acts(returnedPermission, func(ctx context.Context) error {
		_, err := organisation.DeleteRolePolicy(ctx, &iam.DeleteRolePolicyInput{RoleName: role, PolicyName: name})
		return err
	})
	c.pass(10 * time.Minute)
}

// revokes is that the customer takes all of its keys away at once. It is obeyed.
func (c *crowd) revokes() {
	mended := c.unreachable()
	c.acts(revokedAtOnce, func(ctx context.Context) error {
		for _, t := range c.world.tenants[:c.customers] {
			t.keys[0].takeAway(within(ctx, t.proc), 1)
		}
		return nil
	})
	mended()
	c.pass(20 * time.Minute)
}

// unreachable begins an outage that lasts until every key was checked, so that all keys are checked again in the first minute
// after it.
func (c *crowd) unreachable() (mended func()) {
	w := c.world
	o := &outage{what: "a KMS", of: "all of AWS", counted: "a KMS", kind: w.someFailure()}
	for k := range w.custodies() {
		kms, _ := k.services()
		o.services = append(o.services, kms[0])
	}
	slices.SortFunc(o.services, func(a, b service) int { return strings.Compare(a.host, b.host) })
	o.services = slices.Compact(o.services)
	what, mended := w.breaks(o)
	w.faults.count["incident: "+what]++
	c.pass(16 * time.Minute)
	return mended
}

// acts has somebody do something, and notes it as what befalls the crowd.
func (c *crowd) acts(what string, do func(context.Context) error) {
	w := c.world
	w.trace.say("%s", what)
	w.faults.count["crowd: "+what]++
	done := make(chan error, 1)
	go func() { done <- do(within(w.ctx, &process{name: what, lasting: true})) }()
	for {
		w.conductor.run(time.Now().Add(time.Second))
		select {
		case err := <-done:
			if err != nil {
				w.fail(err)
			}
			return
		default:
		}
	}
}

// pass lets time pass.
func (c *crowd) pass(d time.Duration) {
	w := c.world
	for until := time.Now().Add(d); time.Now().Before(until) && len(w.failed) == 0; {
		w.conductor.run(time.Now().Add(time.Minute))
		w.each()
	}
}
