//! Every route of the HTTP port, in one table. The test holds it to `openapi.json`: nothing in one without the other.

use std::net::SocketAddr;
use std::sync::Arc;

use axum::Router;
use axum::extract::Request;
use axum::http::{Uri, header};
use axum::middleware::{Next, from_fn};
use axum::response::{IntoResponse, Response};
use axum::routing::{delete, get, post, put};

use super::api::Api;
use super::problem::{Kind, Problem};
use super::{dead_letters, manage, openapi, peek, publish, receive, redrive, settle, stats};

macro_rules! routes {
    ($($method:ident $path:literal => $handler:path;)*) => {
        #[cfg(test)]
        pub(super) const ROUTES: &[(&str, &str)] = &[$((stringify!($method), $path),)*];

        fn table() -> Router<Arc<Api>> {
            Router::new()$(.route($path, $method($handler)))*
        }
    };
}

routes! {
    get    "/openapi.json" => openapi::get;

    get    "/v1/queues" => manage::list;
    put    "/v1/queues/{queue}" => manage::put;
    get    "/v1/queues/{queue}" => manage::get;
    delete "/v1/queues/{queue}" => manage::delete;

    post   "/v1/queues/{queue}/messages" => publish::post;
    get    "/v1/queues/{queue}/messages" => peek::get;
    post   "/v1/queues/{queue}/receive" => receive::post;
    post   "/v1/queues/{queue}/acknowledge" => settle::acknowledge;
    post   "/v1/queues/{queue}/release" => settle::release;
    post   "/v1/queues/{queue}/reject" => settle::reject;
    post   "/v1/queues/{queue}/extend" => settle::extend;
    get    "/v1/queues/{queue}/stats" => stats::get;
    post   "/v1/queues/{queue}/purge" => manage::purge;

    get    "/v1/queues/{queue}/dead-letters" => dead_letters::list;
    get    "/v1/queues/{queue}/dead-letters/{partition}/{offset}" => dead_letters::get;
    post   "/v1/queues/{queue}/dead-letters/redrive" => redrive::redrive;
    post   "/v1/queues/{queue}/dead-letters/purge" => redrive::purge;
    get    "/v1/redrives" => redrive::list;
    get    "/v1/redrives/{id}" => redrive::get;
    delete "/v1/redrives/{id}" => redrive::cancel;
}

/// The queue API, ready to serve.
pub(crate) fn router(api: Arc<Api>) -> Router {
    table()
        .method_not_allowed_fallback(method_not_allowed)
        .layer(from_fn(guard))
        .with_state(api)
}

pub(crate) async fn unknown_path(uri: Uri) -> Problem {
    let detail = format!(
        "there is nothing at {}; /openapi.json lists what is",
        uri.path()
    );
    Problem::new(Kind::NotFound, detail)
}

async fn method_not_allowed(request: Request) -> Problem {
    let detail = format!(
        "{} is not a method of {}; the Allow header lists those that are",
        request.method(),
        request.uri().path()
    );
    Problem::new(Kind::MethodNotAllowed, detail)
}

/// The address of ours that the client has reached.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Reached(pub(crate) SocketAddr);

/// Keeps web pages out. There is no authentication, and a browser on the same machine reaches loopback, too: a page of
/// anybody could otherwise send requests (which have an Origin), or take a name that resolves to 127.0.0.1 and read
/// the answers (whose Host is that name).
async fn guard(request: Request, next: Next) -> Response {
    if request.headers().contains_key(header::ORIGIN) {
        let detail = "requests with an Origin header come from a web page and are refused; use a server of your own in between";
        return Problem::new(Kind::FromWebPage, detail).into_response();
    }
    let reached = request.extensions().get::<Reached>();
    if reached.is_some_and(|reached| reached.0.ip().to_canonical().is_loopback()) {
        let host = request.headers().get(header::HOST);
        let host = host.and_then(|host| host.to_str().ok()).unwrap_or_default();
        if !is_local_name(host) {
            let detail = format!(
                "this address is for this machine only, and {host:?} is not a name of it: use localhost or an IP address"
            );
            return Problem::new(Kind::Misdirected, detail).into_response();
        }
    }
    next.run(request).await
}

fn is_local_name(host: &str) -> bool {
    let name = match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|b| b.is_ascii_digit()) => name,
        _ => host,
    };
    let address = name.trim_start_matches('[').trim_end_matches(']');
    name.eq_ignore_ascii_case("localhost")
        || name.to_ascii_lowercase().ends_with(".localhost")
        || address.parse::<std::net::IpAddr>().is_ok()
        || name.is_empty()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn the_document_has_every_route_and_no_other() {
        let document: serde_json::Value = serde_json::from_str(openapi::DOCUMENT).unwrap();
        let paths = document["paths"].as_object().unwrap();
        let documented: BTreeSet<(String, String)> = paths
            .iter()
            .flat_map(|(path, methods)| {
                let methods = methods.as_object().unwrap().keys();
                let methods = methods.filter(|name| *name != "parameters");
                methods.map(move |method| (method.clone(), path.clone()))
            })
            .collect();
        let probes = ["/healthz", "/readyz", "/metrics"].map(|path| ("get", path));
        let routed: BTreeSet<(String, String)> = ROUTES
            .iter()
            .copied()
            .chain(probes)
            .map(|(method, path)| (method.to_owned(), path.to_owned()))
            .collect();
        assert_eq!(documented, routed);
    }

    #[test]
    fn a_name_that_anybody_can_register_is_not_local() {
        for (host, expect) in [
            ("localhost:9644", true),
            ("LOCALHOST", true),
            ("127.0.0.1:9644", true),
            ("[::1]:9644", true),
            ("x.localhost", true),
            ("rebound.example.com:9644", false),
            ("localhost.example.com", false),
            ("127.0.0.1.example.com", false),
        ] {
            assert_eq!(is_local_name(host), expect, "{host}");
        }
    }
}
