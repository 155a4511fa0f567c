# What kafka.sh's --secure adds: a broker as production has it, with TLS on every listener, SCRAM-SHA-512 on one, client
# certificates on the others, and Kafka's own authorizer, which denies what no list grants. Sourced, not run.
# shellcheck shell=bash disable=SC2154
#
# Its folder holds, as PEM:
#
#   ca.pem       whom to believe
#   broker.pem   the broker's key and certificate, CN=broker, for 127.0.0.1
#   users        one `name password` a line, for SCRAM; they are made when the broker's folder is formatted
#
# `User:broker` and `User:admin` may do everything. A client certificate's CN is its principal's name, so that a list holds
# for a user whichever way it comes in.

secure_listeners() { # CONTROLLER-PORT
  local tls
  tls=$(setting tls.listener)
  [[ -n "$tls" ]] && ! listens "$tls" || tls=$(free_port)
  cat <<PROPERTIES
secure.folder=$secure
tls.listener=$tls
listeners=SASL_SSL://127.0.0.1:$port,SSL://127.0.0.1:$tls,CONTROLLER://127.0.0.1:$1
advertised.listeners=SASL_SSL://127.0.0.1:$port,SSL://127.0.0.1:$tls
listener.security.protocol.map=SASL_SSL:SASL_SSL,SSL:SSL,CONTROLLER:SSL
inter.broker.listener.name=SSL
sasl.enabled.mechanisms=SCRAM-SHA-512
listener.name.sasl_ssl.scram-sha-512.sasl.jaas.config=org.apache.kafka.common.security.scram.ScramLoginModule required;
ssl.keystore.type=PEM
ssl.keystore.location=$secure/broker.pem
ssl.truststore.type=PEM
ssl.truststore.location=$secure/ca.pem
listener.name.sasl_ssl.ssl.client.auth=none
listener.name.ssl.ssl.client.auth=required
listener.name.controller.ssl.client.auth=required
ssl.principal.mapping.rules=RULE:^CN=([^,]+).*\$/\$1/,DEFAULT
authorizer.class.name=org.apache.kafka.metadata.authorizer.StandardAuthorizer
allow.everyone.if.no.acl.found=false
super.users=User:broker;User:admin
PROPERTIES
}

# The users as arguments for formatting, one a line. kafka.sh hands them to Java through a pipe: no list of processes shows them.
scram_users() {
  local name password
  while read -r name password; do
    printf '%s\n' --add-scram "SCRAM-SHA-512=[name=$name,password=$password]"
  done <"$secure/users"
}
