package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"path/filepath"
	"slices"
	"time"

	"latchkey/agent/snapshotdir"
	"latchkey/local/fleet"
	"latchkey/local/lambdasvc"
)

// heartbeat is how often agents call: asking a control plane in the same process costs nothing,
// and what a tenant does is seen at once.
const heartbeat = 2 * time.Second

// openFleet makes the machines that clusters run on. They reach the control plane over HTTP.
func (s *suite) openFleet(cfg config, functions []lambdasvc.Function, log *slog.Logger) error {
	settings, err := fleetSettings(cfg, functions, s.at.nodes, log)
	if err != nil {
		return err
	}
	machines := fleet.New(settings)
	s.databases = machines.Databases()
	s.background = append(s.background, func(ctx context.Context) {
		if err := machines.Run(ctx); err != nil {
			log.LogAttrs(ctx, slog.LevelError, "no node runs", slog.Any("error", err))
		}
	})
	return nil
}

// fleetSettings are what the fleet is told; its operator's function is provisioning.
func fleetSettings(cfg config, functions []lambdasvc.Function, nodes string, log *slog.Logger) (fleet.Config, error) {
	i := slices.IndexFunc(functions, func(f lambdasvc.Function) bool { return f.Name == "operator" })
	if i < 0 {
		return fleet.Config{}, errors.New("the template has no function operator")
	}
	return fleet.Config{
		Dir: filepath.Join(cfg.data, "fleet"), Provisioner: fleet.Operator{Function: functions[i]},
		ControlPlane: "http://" + nodes, Transport: &http.Transport{MaxIdleConnsPerHost: 32, IdleConnTimeout: time.Minute},
		Now: cfg.now, Log: log, Heartbeat: heartbeat, Snapshots: snapshotdir.New(filepath.Join(cfg.data, "snapshots")),
	}, nil
}

// checkLoopback refuses addresses that other machines reach: the data API asks nobody who they are.
func checkLoopback(address string) error {
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return fmt.Errorf("-databases: %w", err)
	}
	if ip := net.ParseIP(host); host == "localhost" || ip != nil && ip.IsLoopback() {
		return nil
	}
	return fmt.Errorf("-databases: %s is not a loopback address, and whoever reaches it may read and write everything", address)
}
