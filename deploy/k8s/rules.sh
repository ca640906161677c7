#!/bin/sh
# Writes the alerts of deploy/observability as the operator of Prometheus wants them:
#
#   deploy/k8s/rules.sh > deploy/k8s/components/monitoring/prometheus-rule.yaml
set -eu
cd "$(dirname "$0")"

printf '%s\n' '# Made by deploy/k8s/rules.sh from deploy/observability/alerts.yaml: change it there.' \
  'apiVersion: monitoring.coreos.com/v1' 'kind: PrometheusRule' 'metadata:' '  name: memlog' 'spec:'
sed -n '/^groups:/,$ s/^\(.\)/  \1/p; /^$/p' ../observability/alerts.yaml | sed '/./,$!d'
