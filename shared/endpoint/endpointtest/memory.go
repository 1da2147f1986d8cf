// Package endpointtest is what every endpoint.Cloud must do, as a suite to run over one, and a
// cloud in memory that does it.
package endpointtest

import (
	"context"
	"fmt"
	"sync"

	"latchkey/shared/endpoint"
)

// Memory is a cloud in memory. Whoever holds it is the provider and the tenant.
type Memory struct {
	mu        sync.Mutex
	approved  bool // endpoints need no approval
	resources map[string]*endpoint.Observation
	made      int
	fails     error
	onCreate  func()
}

// NewMemory returns a cloud without endpoints. With approval, as at Azure, the tenant has to approve
// each.
func NewMemory(approval bool) *Memory {
	return &Memory{approved: !approval, resources: map[string]*endpoint.Observation{}}
}

// Create implements endpoint.Cloud.
func (m *Memory) Create(_ context.Context, h endpoint.Handle) (endpoint.Observation, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.fails != nil {
		return endpoint.Observation{}, m.fails
	}
	if hook := m.onCreate; hook != nil {
		m.onCreate = nil
		m.mu.Unlock()
		hook()
		m.mu.Lock()
	}
	if m.resources[h.EndpointID] == nil {
		m.made++
		m.resources[h.EndpointID] = &endpoint.Observation{
			State: endpoint.Provisioning, ResourceID: fmt.Sprintf("resource-%d", m.made), Connection: "pec-" + h.EndpointID,
		}
	}
	return *m.resources[h.EndpointID], nil
}

// Find implements endpoint.Cloud.
func (m *Memory) Find(_ context.Context, h endpoint.Handle) (endpoint.Observation, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.fails != nil {
		return endpoint.Observation{}, m.fails
	}
	if r := m.resources[h.EndpointID]; r != nil {
		return *r, nil
	}
	return endpoint.Observation{State: endpoint.Missing}, nil
}

// Delete implements endpoint.Cloud.
func (m *Memory) Delete(_ context.Context, h endpoint.Handle) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.fails != nil {
		return m.fails
	}
	if r := m.resources[h.EndpointID]; r != nil {
		r.State = endpoint.Removing
	}
	return nil
}

// Settle finishes what the cloud is working on.
func (m *Memory) Settle() {
	m.mu.Lock()
	defer m.mu.Unlock()
	for id, r := range m.resources {
		switch {
		case r.State == endpoint.Removing:
			delete(m.resources, id)
		case r.State == endpoint.Provisioning && m.approved:
			r.State, r.Address = endpoint.Ready, "address-of-"+r.ResourceID
		case r.State == endpoint.Provisioning:
			r.State = endpoint.AwaitingApproval
		}
	}
}

// Set puts an endpoint into a state, Missing by removing it.
func (m *Memory) Set(id string, state endpoint.State, message string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	r := m.resources[id]
	if r == nil {
		return
	}
	r.State, r.Message = state, message
	switch state {
	case endpoint.Missing:
		delete(m.resources, id)
	case endpoint.Ready:
		r.Address = "address-of-" + r.ResourceID
	default:
	}
}

// Fail makes every call fail; nil ends that.
func (m *Memory) Fail(err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.fails = err
}

// OnCreate runs something once, while an endpoint is being asked for.
func (m *Memory) OnCreate(hook func()) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.onCreate = hook
}

// Count is how many endpoints there are.
func (m *Memory) Count() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return len(m.resources)
}

// Made is how many endpoints were ever made.
func (m *Memory) Made() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.made
}
